"""pix2pix's networks (Isola et al., arXiv 1611.07004, appendix 6.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge.core.game import Networks
from ganforge.core.specs import Built
from ganforge.plugins.blocks.initial import initialise
from ganforge.plugins.blocks.patchgan import PatchDiscriminator
from ganforge.plugins.blocks.translation import Translator, check_data
from ganforge.plugins.papers.pix2pix import UnetOptions

DEEPEST = 8  # halvings: 256 to 1
SHALLOWEST = 2
WIDEST = 8  # times the outermost maps' channels
DROPPED = 3  # blocks, from the innermost on


def build(options: UnetOptions, built: Built) -> Networks:
    """The translator, and a discriminator of its results; as deep as the sides can be halved, 8 times at most.

    Raises:
        GanforgeError: data of one domain, sides that cannot be halved twice, or below 16.
    """
    check_data("pix2pix", built, 2**SHALLOWEST)
    channels, *sides = built.data.shape
    depth = _depth(sides)
    unet = nn.Sequential(_unet(channels, options, depth), nn.Tanh()).apply(initialise)
    return Networks(Translator(unet, 2**depth, 2**depth), PatchDiscriminator(channels, options.width, min(sides)))


def _depth(sides: list[int]) -> int:
    """How often all sides can be halved."""
    return next((n for n in range(DEEPEST) if any(side % 2 ** (n + 1) for side in sides)), DEEPEST)


def _unet(channels: int, options: UnetOptions, depth: int) -> Level:
    """C64-C128-C256-C512-… and back, built from the innermost level outwards."""
    widths = [options.width * min(WIDEST, 2**i) for i in range(depth)]
    inner: Level | None = None
    for level in range(depth - 1, -1, -1):
        before = widths[level - 1] if level else channels
        dropped = options.dropout if level > 0 and depth - level <= DROPPED else 0.0
        inner = Level(before, widths[level], inner, outermost=level == 0, dropout=dropped)
    assert inner is not None
    return inner


class Level(nn.Module):
    """Maps [N, C, H, W] halved, taken through the levels inside and doubled; the outermost gives what it got, changed.

    Others give [N, 2 C, H, W]: their input beside it, the skip connection. LeakyReLU 0.2 on the way in, ReLU on the way
    out, 4×4 convolutions of stride 2.
    """

    def __init__(self, channels: int, width: int, inner: Level | None, *, outermost: bool, dropout: float) -> None:
        super().__init__()
        self.outermost = outermost
        down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
        normed = inner is not None and not outermost
        down += [nn.Conv2d(channels, width, 4, 2, 1, bias=not normed), *([_norm(width)] if normed else [])]
        up: list[nn.Module] = [nn.ReLU()]
        up += [nn.ConvTranspose2d(width if inner is None else 2 * width, channels, 4, 2, 1, bias=outermost)]
        up += [] if outermost else [_norm(channels)]
        up += [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*down, *([] if inner is None else [inner]), *up)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layers(x)
        return changed if self.outermost else torch.cat([x, changed], dim=1)


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=True)
