"""The networks of Karras et al. (arXiv 1710.10196, table 2)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ganforge.core import Built
from ganforge.core.game import Generated, Networks
from ganforge.plugins.blocks.equalised import ROOT2, EqualConv2d, EqualLinear, PixelNorm
from ganforge.plugins.blocks.growing import FIRST, SLOPE, GrowingCritic, Stage, level_widths
from ganforge.plugins.papers.progan import ProganOptions


def build(options: ProganOptions, built: Built) -> Networks:
    """Both networks for square images; raises GanforgeError for any other data."""
    widths = level_widths("progan", built.data, options.width, options.full)
    channels = built.data.shape[0]
    return Networks(Generator(channels, built.latent.width, widths), GrowingCritic(channels, widths, down))


class Generator(nn.Module):
    """z [N, latent] → maps 4×4 → blocks that double them → 1×1, images [N, channels, side, side].

    There is no tanh: training sees the values as they come, and a sampled image is cut off at [-1, 1].
    """

    def __init__(self, channels: int, latent: int, widths: list[int]) -> None:
        super().__init__()
        self.stage = Stage(len(widths) - 1)
        self.first = nn.Sequential(
            # The authors' gain, √2 / 4: a fan-in of 16 places more than the layer has.
            EqualLinear(latent, widths[0] * FIRST**2, gain=ROOT2 / 4),
            nn.Unflatten(1, (widths[0], FIRST, FIRST)),
            nn.LeakyReLU(SLOPE),
            PixelNorm(),
            *convolution(widths[0], widths[0]),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2.0), *convolution(before, after), *convolution(after, after))
            for before, after in pairwise(widths)
        )
        self.to_images = nn.ModuleList(EqualConv2d(width, channels, 1, gain=1.0) for width in widths)

    def configure(self, place: float) -> None:
        self.stage.set(place)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        before = maps = self.first(z)
        for block in self.blocks[: self.stage.top]:
            before, maps = maps, block(maps)
        images = self.stage.images(self.to_images, before, maps)
        return Generated(images if self.training else images.clamp(-1, 1))


def convolution(before: int, after: int) -> list[nn.Module]:
    return [EqualConv2d(before, after), nn.LeakyReLU(SLOPE), PixelNorm()]


def down(above: int, below: int) -> nn.Module:
    """The discriminator's block: [N, above, h, w] → [N, below, h/2, w/2]."""
    return nn.Sequential(
        EqualConv2d(above, above),
        nn.LeakyReLU(SLOPE),
        EqualConv2d(above, below),
        nn.LeakyReLU(SLOPE),
        nn.AvgPool2d(2),
    )
