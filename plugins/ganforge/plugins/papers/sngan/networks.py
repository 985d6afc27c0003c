"""The residual networks of Miyato et al. (arXiv 1802.05957, appendix B.4, table 4).

The table is for 32×32. Other sizes get as many doublings as they need at the same width; the paper's wider
networks for 48 and 128 (tables 5 and 6) are not these.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from ganforge.core import Built, GanforgeError
from ganforge.core.game import Critique, Generated, Networks
from ganforge.plugins.blocks.residual import DownBlock, UpBlock, glorot, image_layers
from ganforge.plugins.papers.sngan import ResNetOptions

SIDES = (16, 32, 64, 128)


def build(options: ResNetOptions, built: Built) -> Networks:
    """Both networks for square images.

    Raises:
        GanforgeError: for points, and for other sizes.
    """
    if built.data.kind != "images":
        raise GanforgeError(f"architecture 'sn-resnet' builds images, not {built.data}; try --set architecture=mlp")
    channels, height, width = built.data.shape
    if height != width or height not in SIDES:
        raise GanforgeError(
            f"architecture 'sn-resnet' cannot build {height}×{width}; it builds squares of side 16, 32, 64 "
            "or 128: choose one with --resolution"
        )
    return Networks(
        Generator(height, channels, built.latent.width, options.generator_width),
        Discriminator(height, channels, options.discriminator_width),
    )


class Generator(nn.Module):
    """z [N, latent] → dense 4×4 → blocks that double the map → BN, ReLU, 3×3, tanh [N, channels, s, s]."""

    def __init__(self, side: int, channels: int, latent: int, width: int) -> None:
        super().__init__()
        self.project = glorot(nn.Linear(latent, width * 4 * 4))
        self.blocks = nn.Sequential(*[UpBlock(width, width) for _ in range(int(math.log2(side // 4)))])
        self.output = image_layers(width, channels)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.output(self.blocks(self.project(z).unflatten(1, (-1, 4, 4)))))


class Discriminator(nn.Module):
    """Images → blocks that halve the map down to 8×8 → two that do not → ReLU, global sum → logits [N].

    Its features are the summed maps, [N, width]. The last layer has no bias, as in the authors' code.
    """

    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__()
        halvings = int(math.log2(side // 8))
        self.blocks = nn.Sequential(
            DownBlock(channels, width, first=True),
            *[DownBlock(width, width) for _ in range(halvings - 1)],
            *[DownBlock(width, width, down=False) for _ in range(2)],
        )
        self.activation = nn.ReLU()
        self.logits = glorot(nn.Linear(width, 1, bias=False))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.activation(self.blocks(x)).sum(dim=(2, 3))
        return Critique(self.logits(features).flatten(), features)
