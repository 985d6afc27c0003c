"""CycleGAN's networks (Zhu et al., arXiv 1703.10593, appendix 7.2)."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge.core.game import Networks
from ganforge.core.specs import Built
from ganforge.plugins.blocks.initial import initialise
from ganforge.plugins.blocks.patchgan import PatchDiscriminator
from ganforge.plugins.blocks.translation import Translator, check_data
from ganforge.plugins.papers.cyclegan import ResnetOptions

MULTIPLE = 4
LEAST = 8  # reflection needs two pixels in maps a quarter as large


def build(options: ResnetOptions, built: Built) -> Networks:
    """One translator and one discriminator of its results.

    Raises:
        GanforgeError: data of one domain, or sides that are no multiples of 4, or below 16.
    """
    check_data("cyclegan", built, MULTIPLE)
    channels, *sides = built.data.shape
    return Networks(
        Translator(
            _layers(channels, options.width, options.blocks or (9 if min(sides) >= 256 else 6)), MULTIPLE, LEAST
        ),
        PatchDiscriminator(channels, options.width, min(sides)),
    )


def _layers(channels: int, width: int, blocks: int) -> nn.Sequential:
    """c7s1-64, d128, d256, R256 × blocks, u128, u64, c7s1-3: reflection padding, instance norm, ReLU; tanh."""
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), *_normed(width)]
    for n in (width, 2 * width):
        layers += [nn.Conv2d(n, 2 * n, 3, 2, 1), *_normed(2 * n)]
    layers += [Residual(4 * width) for _ in range(blocks)]
    for n in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(n, n // 2, 3, 2, 1, output_padding=1), *_normed(n // 2)]
    whole = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())
    return whole.apply(initialise)


def _normed(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU()]


class Residual(nn.Module):
    """x + two 3×3 convolutions of it, with reflection padding and instance norm; [N, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), *_normed(channels)]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        self.layers = nn.Sequential(*first, *second)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layers(x)
        return x + changed
