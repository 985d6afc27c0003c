"""SRGAN's networks (Ledig et al., arXiv 1609.04802, figure 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.game import Critique, Generated, Networks
from ganforge.core.specs import Built
from ganforge.plugins.papers.srgan import SrResNetOptions, small_shape

STAGES = 4  # halvings of the discriminator


def build(options: SrResNetOptions, built: Built) -> Networks:
    """Both networks, for images whose sides the factor divides.

    Raises:
        GanforgeError: other data, or a latent with fewer numbers than the small picture has.
    """
    channels, height, width = small_shape(built.data, options.factor)
    latent = built.latent.width
    # The small picture may have fewer channels: a discriminator's conditioning asks for data with more than are real.
    shape = (min(channels, latent // (height * width)), height, width)
    if not shape[0]:
        raise GanforgeError(
            f"option 'latent.dim': architecture 'srresnet' takes the small picture as its latent, which is of "
            f"{math.prod((channels, height, width))} numbers, not {latent}; recipe 'srgan' sets it by recipe.factor"
        )
    generator = SrResNet(shape, latent - math.prod(shape), channels, options)
    return Networks(generator, Discriminator(built.data, options))


class SrResNet(nn.Module):
    """Low-resolution images as latents [N, C·h·w] → B residual blocks → pixel shuffles → images [N, C, r·h, r·w].

    What a latent has beyond the picture, such as a class, enters as constant maps beside it.
    """

    def __init__(self, shape: tuple[int, int, int], beside: int, channels: int, options: SrResNetOptions) -> None:
        super().__init__()
        self.shape, self.values, width = shape, math.prod(shape), options.width
        self.head = nn.Sequential(nn.Conv2d(shape[0] + beside, width, 9, 1, 4), nn.PReLU())
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(options.blocks)))
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width))
        larger: list[nn.Module] = []
        for _ in range(int(math.log2(options.factor))):
            larger += [nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU()]
        self.tail = nn.Sequential(*larger, nn.Conv2d(width, channels, 9, 1, 4), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        small, beside = z[:, : self.values].unflatten(1, self.shape), z[:, self.values :]
        maps = beside[:, :, None, None].expand(-1, -1, *self.shape[1:])
        first = self.head(torch.cat([small, maps], dim=1))
        return Generated(self.tail(first + self.body(self.blocks(first))))


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
