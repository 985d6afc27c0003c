"""The networks of Huang et al. (arXiv 2501.05441, section 4, configuration E), sizes and start as in the authors' code.

Both are chains of residual blocks 1×1, grouped 3×3, 1×1 with LeakyReLU between and nothing after, and of bilinear
resampling; there is no normalisation. Only the blocks' activations have biases.

Instead of normalisation, Fix-up's start (Zhang et al. 2019, arXiv 1901.09321): the last convolution of a block is
zero and the others are scaled by L^(-1/4), for L blocks of three layers in a network.
"""

from __future__ import annotations

import itertools
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganforge.core import Built, GanforgeError
from ganforge.core.game import Critique, Generated, Networks
from ganforge.plugins.blocks.resampling import Down, Up
from ganforge.plugins.papers.r3gan import R3ganOptions

L = TypeVar("L", nn.Linear, nn.Conv2d)

SIDES = (8, 16, 32, 64, 128, 256)
SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""What keeps the variance through a LeakyReLU."""


def build(options: R3ganOptions, built: Built) -> Networks:
    """Both networks for square images.

    Raises:
        GanforgeError: for points, for other sizes, and for a width that the groups do not divide.
    """
    if built.data.kind != "images":
        raise GanforgeError(f"architecture 'r3gan' builds images, not {built.data}; try --set architecture=mlp")
    channels, height, width = built.data.shape
    if height != width or height not in SIDES:
        raise GanforgeError(
            f"architecture 'r3gan' cannot build {height}×{width}; it builds squares of side 8, 16, 32, 64, 128 "
            "or 256: choose one with --resolution"
        )
    widths = stage_widths(height, options)
    classes = len(built.data.classes)
    return Networks(
        Generator(channels, built.latent.width, widths, options, classes if "generator" in built.labelled else 0),
        Discriminator(channels, widths, options, classes if "discriminator" in built.labelled else 0),
    )


def stage_widths(side: int, options: R3ganOptions) -> list[int]:
    """Channels of the maps of side 4, 8, ... up to the image's: all alike up to 32, then halved each time.

    Raises:
        GanforgeError: a block's inside does not fall into whole groups.
    """
    halvings = [max(0, place - 3) for place in range(int(math.log2(side // 4)) + 1)]
    step = options.group // math.gcd(options.group, options.expansion) * 2 ** halvings[-1]
    if options.width % step:
        raise GanforgeError(
            f"option 'architecture.width': must be a multiple of {step} at side {side} with groups of {options.group} "
            f"channels and expansion {options.expansion}, not {options.width}"
        )
    return [options.width // 2**halving for halving in halvings]


class Generator(nn.Module):
    """z [N, latent] → basis 4×4 → blocks → up and blocks, ... → 1×1 → images [N, channels, side, side].

    There is no tanh: training sees the values as they come, and a sampled image is cut off at [-1, 1]. With
    `classes`, a learned embedding of the label, 64 numbers, is appended to z.
    """

    EMBEDDING = 64

    def __init__(self, channels: int, latent: int, widths: list[int], options: R3ganOptions, classes: int) -> None:
        super().__init__()
        self.embedding = embedding(classes, self.EMBEDDING) if classes else None
        count = options.blocks * len(widths)
        layers: list[nn.Module] = [Basis(latent + (self.EMBEDDING if classes else 0), widths[0])]
        layers += [Block(widths[0], options, count) for _ in range(options.blocks)]
        for before, after in itertools.pairwise(widths):
            layers += [pointwise(before, after), Up(after)]
            layers += [Block(after, options, count) for _ in range(options.blocks)]
        self.layers = nn.Sequential(*layers, scaled(nn.Conv2d(widths[-1], channels, 1, bias=False)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(labels)], dim=1)
        images = self.layers(z)
        return Generated(images if self.training else images.clamp(-1, 1))


class Discriminator(nn.Module):
    """Images → 1×1 → blocks, down, ... → blocks → basis 4×4 → linear → logits [N].

    Features are what the basis sees in the last maps, [N, width]. With `classes`, the last layer has `width`
    outputs and the logit is their product with a learned embedding of the label.
    """

    def __init__(self, channels: int, widths: list[int], options: R3ganOptions, classes: int) -> None:
        super().__init__()
        width, count = widths[0], options.blocks * len(widths)
        layers: list[nn.Module] = [scaled(nn.Conv2d(channels, widths[-1], 1, bias=False))]
        for before, after in itertools.pairwise(widths[::-1]):
            layers += [Block(before, options, count) for _ in range(options.blocks)]
            layers += [Down(before), pointwise(before, after)]
        layers += [Block(width, options, count) for _ in range(options.blocks)]
        self.layers = nn.Sequential(*layers, scaled(nn.Conv2d(width, width, 4, groups=width, bias=False)), nn.Flatten())
        self.embedding = embedding(classes, width, gain=width**-0.5) if classes else None
        self.output = scaled(nn.Linear(width, width if classes else 1, bias=False))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.layers(x)
        said = self.output(features)
        if self.embedding is not None:
            said = said * self.embedding(labels)
        return Critique(said.sum(dim=1), features)


class Block(nn.Module):
    """x + 1×1(LeakyReLU(b₂ + grouped 3×3(LeakyReLU(b₁ + 1×1(x))))), [N, width, h, w] to the same.

    Args:
        count: how many blocks the network has, for the start.
    """

    def __init__(self, width: int, options: R3ganOptions, count: int) -> None:
        super().__init__()
        inside, gain = width * options.expansion, GAIN * count**-0.25
        self.layers = nn.Sequential(
            scaled(nn.Conv2d(width, inside, 1), gain),
            nn.LeakyReLU(SLOPE, inplace=True),
            scaled(nn.Conv2d(inside, inside, 3, padding=1, groups=inside // options.group), gain),
            nn.LeakyReLU(SLOPE, inplace=True),
            scaled(nn.Conv2d(inside, width, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class Basis(nn.Module):
    """z [N, inputs] → maps [N, width, 4, 4]: learned 4×4 patterns, each times a number made from z."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(width, 4, 4))
        self.linear = scaled(nn.Linear(inputs, width, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        return self.patterns * self.linear(z)[:, :, None, None]


def pointwise(before: int, after: int) -> nn.Module:
    """A 1×1 convolution where the number of channels changes, else nothing."""
    return nn.Identity() if before == after else scaled(nn.Conv2d(before, after, 1, bias=False))


def scaled(layer: L, gain: float = 1.0) -> L:
    """The layer with weights N(0, gain² / inputs) and no bias to start with."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def embedding(classes: int, width: int, gain: float = 1.0) -> nn.Embedding:
    """A vector for each label: a linear layer of the one-hot label, started like one."""
    layer = nn.Embedding(classes, width)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(classes))
    return layer
