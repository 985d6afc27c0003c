"""EBGAN's networks (Zhao, Mathieu and LeCun, arXiv 1609.03126, appendices C and D).

The discriminator is an autoencoder of strided convolutions, (64)4c2s-(128)4c2s-(256)4c2s and back at 64×64, with a
fourth from 128 on; the generator is DCGAN's. Batch norm in every layer but the input and the outputs, ReLU
everywhere. Weights start as N(0, 0.002) in D and N(0, 0.02) in G. The noise that the paper feeds into every layer
of its ImageNet generators is left out.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganforge.core import Built, GanforgeError
from ganforge.core.game import Generated, Networks
from ganforge.plugins.blocks.autoencoder import Autoencoder
from ganforge.plugins.papers.ebgan import EbganOptions


def build(options: EbganOptions, built: Built) -> Networks:
    """Both networks for points, or for square images of side 2^k, 8 to 256, or 28.

    Raises:
        GanforgeError: for any other size.
    """
    if built.data.kind == "points":
        return _for_points(options.width, built)
    channels, side, width = built.data.shape
    if side != width or (side != 28 and (side & (side - 1) or not 8 <= side <= 256)):
        raise GanforgeError(
            f"architecture 'ebgan' cannot build {side}×{width}; it builds squares of side 8, 16, 28, 32, 64, 128 "
            "or 256: choose one with --resolution"
        )
    widths = [options.width * 2**i for i in range(_halvings(side))]
    discriminator = Autoencoder(
        nn.Sequential(*_halved([channels, *widths])),
        nn.Sequential(*_doubled([*widths[::-1], channels])),
        torch.square,
    )
    return Networks(Generator(side, channels, built.latent.width, options.width), initialise(discriminator, 0.002))


def _halvings(side: int) -> int:
    """Convolutions of the encoder: three, four from 128 on (appendix D), and the two that 28 allows."""
    return 2 if side == 28 else 3 if side < 128 else 4


def _halved(widths: list[int]) -> list[nn.Module]:
    """Maps halved from each width to the next, each with ReLU and, but for the first, batch norm."""
    layers: list[nn.Module] = [nn.Conv2d(widths[0], widths[1], 4, 2, 1), nn.ReLU()]
    for before, after in pairwise(widths[1:]):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return layers


def _doubled(widths: list[int]) -> list[nn.Module]:
    """Maps doubled from each width to the next, with batch norm and ReLU between."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(widths[0], widths[1], 4, 2, 1)]
    for before, after in pairwise(widths[1:]):
        layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
    return layers


class Generator(nn.Module):
    """z [N, latent] → dense 4×4 (7×7 for 28), doubled up to the image, tanh: [N, channels, side, side]."""

    def __init__(self, side: int, channels: int, latent: int, width: int) -> None:
        super().__init__()
        start, doublings = (7, 2) if side == 28 else (4, int(math.log2(side // 4)))
        widths = [width * 2**i for i in range(doublings)][::-1]
        self.project = nn.Linear(latent, widths[0] * start**2)
        self.unflatten = nn.Unflatten(1, (widths[0], start, start))
        self.layers = nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU(), *_doubled([*widths, channels]), nn.Tanh())
        initialise(self, 0.02)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.layers(self.unflatten(self.project(z))))


class PointGenerator(nn.Module):
    """z [N, latent] to points [N, values]."""

    def __init__(self, latent: int, width: int, values: int) -> None:
        super().__init__()
        self.layers = _dense([latent, width, width, values])

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.layers(z))


def _for_points(width: int, built: Built) -> Networks:
    """Linear layers with torch's own initial weights; the paper has no points."""
    (values,) = built.data.shape
    encoder, decoder = _dense([values, width, width]), _dense([width, width, values])
    return Networks(
        PointGenerator(built.latent.width, width, values),
        Autoencoder(nn.Sequential(encoder, nn.ReLU()), decoder, torch.square),
    )


def _dense(widths: list[int]) -> nn.Sequential:
    """Linear layers from each width to the next, with ReLU between."""
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [nn.ReLU(), nn.Linear(before, after)]
    return nn.Sequential(*layers)


def initialise(network: nn.Module, deviation: float) -> nn.Module:
    """Weights N(0, deviation) and biases zero, but for batch norm, which starts as the identity (appendix C)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
