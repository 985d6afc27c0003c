"""torch-fidelity's InceptionV3, with weights whose checksum was verified before they were read."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.evaluation import Extractor, Features
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.blocks.weights import read_verified
from ganforge.plugins.features.inception import InceptionOptions

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"


def build(options: InceptionOptions, data: DataSpec) -> Inception:
    """The network for the pictures of `data`.

    Raises:
        GanforgeError: grey pictures, which the network does not take, or no weights, or wrong ones.
    """
    if data.shape[0] != 3 and not options.repeat_grey:
        raise GanforgeError(
            f"extractor 'inception' takes colour pictures, not {data}; choose other features, or --set "
            "features.repeat_grey=true for scores like nobody else's"
        )
    file = options.weights or find(options.download)
    return Inception(file, standard=data.shape[0] == 3)


def find(download: bool) -> Path:
    """Where torch keeps the weights, once they are there.

    Raises:
        GanforgeError: they are not, and may not be downloaded.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / Path(URL).name
    if not file.exists() and download:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(file), hash_prefix=SHA256)
    if not file.exists():
        raise GanforgeError(
            f"extractor 'inception' needs its weights: {file} is not there; fetch it from {URL} and name it with "
            "--inception-weights FILE, or --set features.download=true"
        )
    return file


class Inception(Extractor):
    """uint8 [N, 3, H, W] to the 2,048 features before the last layer, and 1,008 logits without its bias."""

    dim, classes = 2048, 1008
    preprocessing = "TensorFlow 1's bilinear to 299×299, (x - 128) / 128"

    def __init__(self, file: Path, *, standard: bool) -> None:
        super().__init__()
        module = import_with_torchvision("torch_fidelity.feature_extractor_inceptionv3")
        # torch-fidelity reads its file as a pickle that may run code: it gets one with nothing but tensors.
        weights = torch.load(read_verified(file, SHA256), weights_only=True)
        torch.save(weights, tensors := io.BytesIO())
        tensors.seek(0)
        self.network = module.FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], tensors)
        self.weights, self.standard = SHA256, standard

    def embed(self, pixels: Tensor) -> Features:
        raise NotImplementedError("torch-fidelity's network takes uint8 pixels, through which no gradient flows")

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        features, logits = self.network(images.expand(-1, 3, -1, -1).contiguous())
        return Features(features, logits)
