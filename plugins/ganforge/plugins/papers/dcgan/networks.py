"""DCGAN's networks (Radford, Metz and Chintala, arXiv 1511.06434, section 3 and figure 1)."""

from __future__ import annotations

import itertools
import math
from typing import cast

import torch
from torch import Tensor, nn

from ganforge.core import GanforgeError
from ganforge.core.game import Critique, Generated, Networks
from ganforge.core.specs import Built
from ganforge.plugins.blocks.small_start import initialise
from ganforge.plugins.papers.dcgan import DcganOptions


def build(options: DcganOptions, built: Built) -> Networks:
    """Both networks for square images of side 2^k, 8 to 256, or 28.

    Raises:
        GanforgeError: for points, and for any other size.
    """
    shape = built.data.shape
    if built.data.kind != "images":
        raise GanforgeError(f"architecture 'dcgan' builds images, not {built.data}; try --set architecture=mlp")
    channels, height, width = shape
    if height != width or (height != 28 and (height & (height - 1) or not 8 <= height <= 256)):
        raise GanforgeError(
            f"architecture 'dcgan' cannot build {height}×{width}; it builds squares of side 8, 16, 28, 32, 64, 128 "
            "or 256: choose one with --resolution"
        )
    return Networks(
        Generator(height, channels, built.latent.width, options),
        Discriminator(height, channels, options),
    )


def stages(side: int) -> tuple[int, int]:
    """The side of the smallest map and how many times it doubles: 4 and log2(side / 4), or 7 and 2 for 28."""
    return (7, 2) if side == 28 else (4, int(math.log2(side // 4)))


class Generator(nn.Module):
    """z [N, width] → Linear → [N, C, 4, 4] → doubled by ConvTranspose2d k4 s2 p1 → tanh, [N, channels, side, side].

    At 64 with width 128 the maps have 1024, 512, 256, 128 channels, as in the paper's figure 1. Batch norm
    everywhere but at the output; ReLU.
    """

    def __init__(self, side: int, channels: int, latent: int, options: DcganOptions) -> None:
        super().__init__()
        self.start, doublings = stages(side)
        widths = [options.width * 2**i for i in range(doublings)][::-1]
        self.project = nn.Linear(latent, widths[0] * self.start**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for before, after in itertools.pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh())
        self.apply(initialise)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        start = self.project(z).unflatten(1, (-1, self.start, self.start))
        # The maps take their weights' memory layout by themselves, but for the first, which no convolution makes.
        if cast(Tensor, self.layers[2].weight).is_contiguous(memory_format=torch.channels_last):
            start = start.contiguous(memory_format=torch.channels_last)
        return Generated(self.layers(start))


class Discriminator(nn.Module):
    """Images → halved by Conv2d k4 s2 p1, LeakyReLU 0.2, batch norm but in the first → convolution 4×4 → logits [N]."""

    def __init__(self, side: int, channels: int, options: DcganOptions) -> None:
        super().__init__()
        start, halvings = stages(side)
        widths = [options.width * 2**i for i in range(halvings)]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in itertools.pairwise(widths):
            norm = options.discriminator_norm
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none")]
            layers += [nn.BatchNorm2d(after)] if norm == "batch" else []
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.logits = nn.Conv2d(widths[-1], 1, start)
        self.apply(initialise)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.features(x)
        return Critique(self.logits(features).flatten(), features)
