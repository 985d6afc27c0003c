"""FastGAN's networks (Liu et al., arXiv 2101.04775, section 3, figures 3 and 4), sizes as in the authors' code.

Below 256×256, which the paper does not go, there are as many blocks as the image has sizes, of the same widths, and
what is excited is as far from its source as the image allows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ganforge.core import Built, DataSpec, GanforgeError
from ganforge.core.game import Critique, Generated, Networks
from ganforge.plugins.blocks.initial import initialise
from ganforge.plugins.papers.fastgan import FastganOptions

SIDES = (16, 32, 64, 128, 256, 512, 1024)
MULTIPLES = {4: 16.0, 8: 8.0, 16: 4.0, 32: 2.0, 64: 2.0, 128: 1.0, 256: 0.5, 512: 0.25, 1024: 0.125}
"""Channels of the generator's maps by side, as multiples of the width."""

EXCITED = 512
"""The largest map that is excited."""

JUDGED = 256
"""The largest map of D: it shrinks larger images to it first."""

LAST = 8
"""Side of the maps that D judges."""


def build(options: FastganOptions, built: Built) -> Networks:
    """Both networks for square images.

    Raises:
        GanforgeError: for points, and for other sizes.
    """
    if built.data.kind != "images":
        raise GanforgeError(f"architecture 'fastgan' builds images, not {built.data}; try --set architecture=mlp")
    _, height, width = built.data.shape
    if height != width or height not in SIDES:
        raise GanforgeError(
            f"architecture 'fastgan' cannot build {height}×{width}; it builds squares of side 16, 32, 64, 128, 256, "
            "512 or 1024: choose one with --resolution"
        )
    return Networks(Generator(built.data, built.latent.width, options.width), Discriminator(built.data, options.width))


def channels(side: int, width: int) -> int:
    """Of the generator's and the decoders' maps."""
    return max(1, int(MULTIPLES[side] * width))


class Excitation(nn.Module):
    """y = F(x_low) · x_high (equation 1): channels of large maps are weighed by what small maps show.

    F: [N, low, h, w] → 4×4 → 4×4 convolution → Swish → 1×1 → sigmoid, [N, high, 1, 1]. Swish is the code's, where the
    paper has LeakyReLU.
    """

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(low, high, 4, bias=False),
            nn.SiLU(),
            nn.Conv2d(high, high, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return high * self.weigh(low)


class Excited(nn.Module):
    """Blocks one after the other; every map weighs the channels of the one `apart` blocks later.

    Maps [N, widths[0], h, w] to a list of them and those after each block, of `widths` channels. The last `spared`
    maps are not weighed.
    """

    def __init__(self, blocks: Iterable[nn.Module], widths: list[int], apart: int, spared: int = 0) -> None:
        super().__init__()
        self.blocks, self.apart = nn.ModuleList(blocks), apart
        pairs = zip(widths, widths[apart : len(widths) - spared], strict=False)
        self.excitations = nn.ModuleList(Excitation(low, high) for low, high in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [x]
        for place, block in enumerate(self.blocks, start=1 - self.apart):
            x = block(maps[-1])
            maps.append(self.excitations[place](maps[place], x) if 0 <= place < len(self.excitations) else x)
        return maps


class Generator(nn.Module):
    """z [N, latent] → 4×4 → doubled, … → tanh, images [N, channels, side, side].

    Every other doubling has a second convolution, and noise. Maps are excited by those of a sixteenth of their side.
    """

    def __init__(self, data: DataSpec, latent: int, width: int) -> None:
        super().__init__()
        sides = [side for side in MULTIPLES if side <= data.shape[-1]]
        widths = [channels(side, width) for side in sides]
        self.first = nn.Sequential(nn.ConvTranspose2d(latent, 2 * widths[0], 4, bias=False), *gated(widths[0]))
        pairs = enumerate(itertools.pairwise(widths))
        blocks = [up(before, after, deep=place % 2 == 0) for place, (before, after) in pairs]
        spared = sum(side > EXCITED for side in sides)
        self.maps = Excited(blocks, widths, apart=min(4, len(blocks)), spared=spared)
        self.image = nn.Conv2d(widths[-1], data.shape[0], 3, padding=1, bias=False)
        self.apply(initialise)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.image(self.maps(self.first(z[:, :, None, None]))[-1]).tanh())


class Discriminator(nn.Module):
    """Images → maps of 8×8, twice: of the image, with excitations, and of the image at half its side (128 at most).

    Logits [N, k] are of every 4×4 of both. `aux` has what `reconstruction` decodes: the maps of the `whole` image,
    those of 16×16 whose quarters are of a `part`, those of the `small` one; and the image as it was `seen`.
    """

    def __init__(self, data: DataSpec, width: int) -> None:
        super().__init__()
        inputs, side, _ = data.shape
        start = min(side, JUDGED)
        widths = [max(1, width * 64 // s) for s in _halved(start, LAST)]
        self.first = entry(inputs, widths[0], side // start)
        blocks = [Down(before, after) for before, after in itertools.pairwise(widths)]
        self.maps = Excited(blocks, widths, apart=min(3, len(blocks)))
        self.judge = nn.Sequential(
            nn.Conv2d(widths[-1], 2 * widths[-1], 1, bias=False),
            *normalised(2 * widths[-1]),
            nn.Conv2d(2 * widths[-1], 1, 4, bias=False),
        )
        self.small_side = min(128, side // 2)
        smaller = [max(1, width * 32 // s) for s in _halved(self.small_side // 2, LAST)]
        self.small = nn.Sequential(
            entry(inputs, smaller[0], 2),
            *[down(before, after) for before, after in itertools.pairwise(smaller)],
        )
        self.judge_small = nn.Conv2d(smaller[-1], 1, 4, bias=False)
        self.apply(initialise)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        *_, part, whole = self.maps(self.first(x))
        small = self.small(adaptive_avg_pool2d(x, self.small_side))
        logits = torch.cat([self.judge(whole).flatten(1), self.judge_small(small).flatten(1)], dim=1)
        return Critique(logits, whole, {"whole": whole, "part": part, "small": small, "seen": x})


class Down(nn.Module):
    """[N, before, h, w] → [N, after, h/2, w/2]: the mean of two convolutions, and of pooling with a 1×1 one."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        same = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.main = nn.Sequential(down(before, after), same, *normalised(after))
        self.direct = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1, bias=False), *normalised(after))

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = (self.main(x) + self.direct(x)) / 2
        return mean


class Noise(nn.Module):
    """Adds noise to maps [N, C, h, w], the same in all channels, times a learned number; in training only.

    An exported file is the same function each time, so it has the noise's mean, 0; the authors go on drawing.
    """

    couples_batch = "noise: drawn by each process"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * torch.randn_like(x[:, :1]) if self.training else x


def up(before: int, after: int, *, deep: bool = False) -> nn.Sequential:
    """[N, before, h, w] → nearest → convolution, gate → [N, after, 2h, 2w]; `deep`: noise before the gate, and a second
    convolution with noise and gate."""
    if not deep:
        return nn.Sequential(nn.Upsample(scale_factor=2), _wide(before, after), *gated(after))
    again = [_wide(after, after), Noise(), *gated(after)]
    return nn.Sequential(nn.Upsample(scale_factor=2), _wide(before, after), Noise(), *gated(after), *again)


def down(before: int, after: int) -> nn.Sequential:
    """[N, before, h, w] → [N, after, h/2, w/2] by a strided convolution."""
    return nn.Sequential(nn.Conv2d(before, after, 4, 2, 1, bias=False), *normalised(after))


def entry(inputs: int, width: int, shrunk: int) -> nn.Sequential:
    """Images → [N, width, side / shrunk, …], for 1, 2 or 4: halved by strided convolutions, the first unnormalised."""
    if shrunk == 1:
        return nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.LeakyReLU(0.2))
    if shrunk == 2:
        return nn.Sequential(nn.Conv2d(inputs, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))
    between = max(1, width // 2)
    return nn.Sequential(*entry(inputs, between, 2), down(between, width))


def gated(width: int) -> list[nn.Module]:
    """2·width channels → batch norm → gated linear unit (GLU), which halves them."""
    return [nn.BatchNorm2d(2 * width), nn.GLU(dim=1)]


def normalised(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]


def _wide(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, 2 * after, 3, padding=1, bias=False)


def _halved(first: int, last: int) -> list[int]:
    """Sides from the first, halved down to the last; the first alone where it is smaller."""
    return [first >> i for i in range(max(0, int(math.log2(first / last))) + 1)]
