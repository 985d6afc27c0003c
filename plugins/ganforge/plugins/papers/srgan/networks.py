"""SRGAN's networks (Ledig et al., arXiv 1609.04802, figure 4)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ganforge.core import DataSpec
from ganforge.core.game import Critique, Networks
from ganforge.core.specs import Built
from ganforge.plugins.blocks.translation import Translator
from ganforge.plugins.papers.srgan import SrResNetOptions, check_data

STAGES = 4  # halvings of the discriminator


def build(options: SrResNetOptions, built: Built) -> Networks:
    """Both networks, for images whose sides the factor divides.

    Raises:
        GanforgeError: other data.
    """
    check_data(built.data, options.factor)
    layers = SrResNet(built.data.shape[0], options)
    return Networks(Translator(layers, multiple=1, least=1, scale=options.factor), Discriminator(built.data, options))


class SrResNet(nn.Module):
    """Images [N, C, h, w] → B residual blocks → pixel shuffles → images [N, C, r·h, r·w]."""

    def __init__(self, channels: int, options: SrResNetOptions) -> None:
        super().__init__()
        width = options.width
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, 1, 4), nn.PReLU())
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(options.blocks)))
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width))
        larger: list[nn.Module] = []
        for _ in range(int(math.log2(options.factor))):
            larger += [nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU()]
        self.tail = nn.Sequential(*larger, nn.Conv2d(width, channels, 9, 1, 4), nn.Tanh())

    def forward(self, small: Tensor) -> Tensor:
        first = self.head(small)
        images: Tensor = self.tail(first + self.body(self.blocks(first)))
        return images


class Residual(nn.Module):
    """x + [Conv2d k3, batch norm, PReLU, Conv2d k3, batch norm](x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.PReLU()),
            *(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Discriminator(nn.Module):
    """Images → Conv2d k3, in turn of stride 1 and 2, the maps doubling at each but the first pair → dense → logits [N].

    LeakyReLU 0.2; batch norm but in the first.
    """

    def __init__(self, data: DataSpec, options: SrResNetOptions) -> None:
        super().__init__()
        channels, height, width = data.shape
        layers: list[nn.Module] = []
        for stage in range(STAGES):
            after = options.critic_width * 2**stage
            for stride in (1, 2):
                norm = [nn.BatchNorm2d(after)] if layers else []
                layers += [nn.Conv2d(channels, after, 3, stride, 1), *norm, nn.LeakyReLU(0.2)]
                channels = after
        sides = [math.ceil(side / 2**STAGES) for side in (height, width)]
        self.features = nn.Sequential(*layers)
        self.logits = nn.Sequential(
            *(nn.Flatten(), nn.Linear(channels * math.prod(sides), options.dense)),
            *(nn.LeakyReLU(0.2), nn.Linear(options.dense, 1)),
        )

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.features(x)
        return Critique(self.logits(features).flatten(), features)
