"""Networks that grow with the training: what ProGAN's and StyleGAN's have in common (arXiv 1710.10196, section 2).

Levels are numbered by the sides of their maps, 0 for 4×4. A network has all its layers from the start. Its stage, a
buffer, says which are in use: at 2 those up to level 2; at 1.3 level 2 is faded in, with α = 0.3. Whatever the stage,
images have the data's side, as in the authors' code: the generator enlarges what it makes, the discriminator first
shrinks what it sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.game import Critique
from ganforge.plugins.blocks.equalised import ROOT2, EqualConv2d, EqualLinear
from ganforge.plugins.blocks.minibatch_stddev import MinibatchStdDev

FIRST = 4
"""Side of the maps of level 0."""
SIDES = (8, 16, 32, 64, 128, 256, 512, 1024)
SLOPE = 0.2


def level_widths(architecture: str, data: DataSpec, width: int, full: int) -> list[int]:
    """Channels of the maps of each level: `width` up to side `full`, then halved with each doubling, at least 1.

    Raises:
        GanforgeError: for points, and for other images than squares of a power of two.
    """
    if data.kind != "images":
        raise GanforgeError(f"architecture '{architecture}' builds images, not {data}; try --set architecture=mlp")
    _, height, across = data.shape
    if height != across or height not in SIDES:
        raise GanforgeError(
            f"architecture '{architecture}' cannot build {height}×{across}; it builds squares of side "
            f"{', '.join(map(str, SIDES[:-1]))} or {SIDES[-1]}: choose one with --resolution"
        )
    sides = [FIRST * 2**level for level in range(int(math.log2(height // FIRST)) + 1)]
    return [max(1, min(width, width * full // side)) for side in sides]


class Stage(nn.Module):
    """How far a network has grown, from 0 to `last`: the buffer `place`, and what `forward` reads of it.

    `top` is the highest level in use, `alpha` how much of it is seen. They are the buffer's in plain numbers, so that
    a forward pass waits for no device and the exported graph holds the layers in use alone.
    """

    place: Tensor

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last
        self.register_buffer("place", torch.zeros(()))
        self.set(last)

    def set(self, place: float) -> None:
        self.place.fill_(place)
        self._read(float(np.float32(place)))  # as the buffer has it, without asking a device

    def _read(self, place: float) -> None:
        self.top = math.ceil(place)
        self.alpha = 1.0 if self.top == place else place - math.floor(place)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._read(self.place.item())

    def images(self, to_images: nn.ModuleList, before: Tensor, maps: Tensor) -> Tensor:
        """Images [N, channels, side, side] of the maps of the highest level, and of those of the level before it.

        Figure 2: while a level fades in, its images are mixed with enlarged ones of the level before.
        """
        images: Tensor = to_images[self.top](maps)
        if self.alpha < 1:
            images = torch.lerp(enlarge(to_images[self.top - 1](before), 2), images, self.alpha)
        return enlarge(images, 2 ** (self.last - self.top))

    def faded(self, images: Tensor) -> Tensor:
        """Real images as the network's own are: shrunk to the stage's side, with as little detail, and enlarged."""
        small = shrink(images, 2 ** (self.last - self.top))
        if self.alpha < 1:
            small = torch.lerp(enlarge(shrink(small, 2), 2), small, self.alpha)
        return enlarge(small, 2 ** (self.last - self.top))


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Every value of a map `factor` × `factor` times."""
    return x if factor == 1 else interpolate(x, scale_factor=float(factor), mode="nearest")


def shrink(x: Tensor, factor: int) -> Tensor:
    """The mean of every `factor` × `factor` values."""
    return x if factor == 1 else avg_pool2d(x, factor)


class GrowingCritic(nn.Module):
    """Images [N, channels, side, side] → 1×1 → blocks that halve the map → logits [N].

    At 4×4 follow the minibatch's standard deviation, a 3×3 convolution and two linear layers, as in table 2; features
    [N, width] are what the last one sees.

    Args:
        widths: channels of the maps of each level, from 4×4 on.
        block: makes, for two numbers of channels, what halves a map.
    """

    def __init__(self, channels: int, widths: Sequence[int], block: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.stage = Stage(len(widths) - 1)
        self.from_images = nn.ModuleList(
            nn.Sequential(EqualConv2d(channels, width, 1), nn.LeakyReLU(SLOPE)) for width in widths
        )
        self.blocks = nn.ModuleList(block(above, below) for below, above in pairwise(widths))
        self.head = critic_head(widths[0], widths[0])
        self.output = EqualLinear(widths[0], 1, gain=1.0)

    def configure(self, place: float) -> None:
        self.stage.set(place)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        stage = self.stage
        images = shrink(x, 2 ** (stage.last - stage.top))
        maps = self.from_images[stage.top](images)
        for level in range(stage.top, 0, -1):
            maps = self.blocks[level - 1](maps)
            if level == stage.top and stage.alpha < 1:
                maps = torch.lerp(self.from_images[level - 1](shrink(images, 2)), maps, stage.alpha)
        features = self.head(maps)
        return Critique(self.output(features).flatten(), features)


def leaky() -> nn.Module:
    return nn.LeakyReLU(SLOPE)


def critic_head(
    inputs: int, width: int, activation: Callable[[], nn.Module] = leaky, gain: float = ROOT2
) -> nn.Sequential:
    """Maps [N, inputs, 4, 4] → features [N, width]; `gain` is that of the layers before an activation."""
    return nn.Sequential(
        MinibatchStdDev(),
        EqualConv2d(inputs + 1, inputs, gain=gain),
        activation(),
        nn.Flatten(),
        EqualLinear(inputs * FIRST**2, width, gain),
        activation(),
    )
