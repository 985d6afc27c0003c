"""The networks of Zhang et al. (arXiv 1805.08318, section 4), with the widths of the authors' code."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ganforge.core import Built, DataSpec
from ganforge.core.game import Generated, Networks
from ganforge.plugins.blocks.pyramids import FIRST_SIDE, Plan, PyramidCritic, attention_at, plan
from ganforge.plugins.blocks.residual import UpBlock, glorot, image_layers
from ganforge.plugins.papers.sagan import SaganOptions


def build(options: SaganOptions, built: Built) -> Networks:
    """Both networks for square images.

    Raises:
        GanforgeError: for points, for other sizes, and for attention at a size that is not there.
    """
    chosen = plan("sagan", built.data, options.attention)
    return Networks(
        Generator(built.data, chosen, built.latent.width, options),
        PyramidCritic(built.data, chosen, options.width, options.attention),
    )


class Generator(nn.Module):
    """z [N, latent] → dense 4×4 → blocks that double the map, attention after one → image [N, channels, s, s]."""

    def __init__(self, data: DataSpec, chosen: Plan, latent: int, options: SaganOptions) -> None:
        super().__init__()
        widths = [multiple * options.width for multiple in chosen.up]
        self.project = glorot(nn.Linear(latent, widths[0] * FIRST_SIDE**2))
        layers: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            side = FIRST_SIDE * 2**place
            layers += [UpBlock(inputs, outputs), attention_at(side, options.attention, outputs)]
        self.blocks = nn.Sequential(*layers)
        self.output = image_layers(widths[-1], data.shape[0])

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        maps = self.project(z).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        return Generated(self.output(self.blocks(maps)))
