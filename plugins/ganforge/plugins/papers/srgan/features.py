"""What SRGAN's content loss compares (Ledig et al., arXiv 1609.04802, equation 5): φ of images in [-1, 1]."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ganforge.core import GanforgeError
from ganforge.core.config import Config, load_data
from ganforge.core.options import parse
from ganforge.core.registry import default_registry
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.blocks.weights import read_verified
from ganforge.plugins.papers.srgan import SrganOptions

Features = Callable[[Tensor], Tensor]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]
VGG54 = 36  # layers of torchvision's VGG19 up to the 4th convolution before the 5th pooling, activation included
SCALE = 1 / 12.75  # of VGG's features, so that their error is of the size of the pixels' (section 3.2)


def features_of(options: SrganOptions, config: Config, device: torch.device) -> Features:
    """VGG19's maps where its file is given, else the features of an extractor built for the run's training data."""
    if options.vgg:
        return vgg19(Path(options.vgg), str(options.vgg_sha256), device)
    registry = default_registry()
    spec = registry.find("extractor", options.features, "recipe.features")
    extractor = spec.build(parse(spec.options, {}, "recipe.features"), load_data(config.data, registry))
    extractor.to(device).eval().requires_grad_(False)

    def embed(images: Tensor) -> Tensor:
        features: Tensor = extractor.embed((images + 1) * 127.5).features
        return features

    return embed


def vgg19(file: Path, sha256: str, device: torch.device) -> Features:
    """φ_5,4: the paper's, of grey images as of colour ones.

    Raises:
        GanforgeError: the file is another than its sha256 says, or holds no VGG19.
    """
    vgg = import_with_torchvision("torchvision.models.vgg")
    layers: nn.Sequential = vgg.make_layers(vgg.cfgs["E"])[:VGG54]
    try:
        weights = torch.load(read_verified(file, sha256), weights_only=True)
        layers.load_state_dict({key: weights[f"features.{key}"] for key in layers.state_dict()})
    except (RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise GanforgeError(f"{file} holds no weights of torchvision's VGG19: {str(error).splitlines()[0]}") from None
    layers.to(device).eval().requires_grad_(False)
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))

    def embed(images: Tensor) -> Tensor:
        features: Tensor = layers(((images + 1) / 2 - mean) / deviation)
        return SCALE * features

    return embed
