"""Residual pyramids: what the networks of SAGAN and BigGAN have in common.

The widths are those of the authors' code: BigGAN's tables 4 and 5 (arXiv 1809.11096, appendix B) at 128 and 256,
SAGAN's (arXiv 1805.08318) at 128, and for 32 and 64 those of BigGAN's PyTorch code. At 16 they are cut from 32's.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.game import Critique
from ganforge.plugins.blocks.attention import SelfAttention
from ganforge.plugins.blocks.residual import DownBlock, glorot

FIRST_SIDE = 4
"""Side of the generator's first maps."""


class Plan(NamedTuple):
    """Widths as multiples of one: of G's maps at 4×4, 8×8, ... up to the image's side, and after each block of D.

    D halves its maps in every block but the last ones, which keep them at `last_side`.
    """

    up: tuple[int, ...]
    down: tuple[int, ...]
    last_side: int


PLANS = {
    16: Plan((4, 4, 4), (4, 4, 4), 8),
    32: Plan((4, 4, 4, 4), (4, 4, 4, 4), 8),
    64: Plan((16, 16, 8, 4, 2), (1, 2, 4, 8, 16), 4),
    128: Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 4),
    256: Plan((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 4),
}


def plan(architecture: str, data: DataSpec, attention: int) -> Plan:
    """The plan for square images whose maps of side `attention` attend (0: none do).

    Raises:
        GanforgeError: for points, for other sizes, and when one of the networks has no maps of this side.
    """
    if data.kind != "images":
        raise GanforgeError(f"architecture '{architecture}' builds images, not {data}; try --set architecture=mlp")
    _, height, width = data.shape
    if height != width or height not in PLANS:
        *others, last = PLANS
        raise GanforgeError(
            f"architecture '{architecture}' cannot build {height}×{width}; it builds squares of side "
            f"{', '.join(map(str, others))} or {last}: choose one with --resolution"
        )
    chosen = PLANS[height]
    sides = [2**i for i in range(3, int(math.log2(height))) if 2**i >= chosen.last_side]
    if attention and attention not in sides:
        raise GanforgeError(
            f"option 'architecture.attention': no maps of side {attention} in both networks for {height}×{height} "
            f"images; those have side {', '.join(map(str, sides))} (0: no attention)"
        )
    return chosen


def attention_at(side: int, attention: int, channels: int) -> nn.Module:
    """What follows the block that makes maps of a side: self-attention at one of them, nothing elsewhere."""
    return SelfAttention(channels) if side == attention else nn.Identity()


class PyramidCritic(nn.Module):
    """Images → blocks that halve the map, then one or two that do not → ReLU, global sum → logits [N].

    Its features are the summed maps, [N, channels], of which a projection (Miyato and Koyama, arXiv 1802.05637)
    tells the class.
    """

    def __init__(self, data: DataSpec, chosen: Plan, width: int, attention: int) -> None:
        super().__init__()
        channels, side, _ = data.shape
        widths = [channels, *[multiple * width for multiple in chosen.down]]
        layers: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(pairwise(widths)):
            down = side > chosen.last_side
            layers.append(DownBlock(inputs, outputs, down=down, first=place == 0))
            if down:
                side //= 2
                layers.append(attention_at(side, attention, outputs))
        self.blocks = nn.Sequential(*layers)
        self.activation = nn.ReLU()
        self.logits = glorot(nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.activation(self.blocks(x)).sum(dim=(2, 3))
        return Critique(self.logits(features).flatten(), features)
