"""The norms that take batch norm's place."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganforge.core import GanforgeError
from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks import surgery
from ganforge.plugins.tricks.norm import NormOptions


class Norm(Effect):
    """Every batch norm of the chosen networks, replaced; its scale and shift, where it has them, go on as they are.

    Layer norm is over all values of a sample with a scale and a shift for each channel (group norm of one group).
    """

    attach_order = surgery.REPLACES

    def __init__(self, options: NormOptions) -> None:
        super().__init__()
        self.options = options

    def attach(self, game: Game) -> None:
        search = surgery.Search(
            "norm", self.options.networks, "batch norm", lambda layer: isinstance(layer, _BatchNorm)
        )
        surgery.replace(game, search, self.replacement)

    def replacement(self, old: _BatchNorm) -> nn.Module:
        if self.options.kind == "none":
            return nn.Identity()
        fresh = self._statistics(old)
        if old.affine:
            fresh.weight, fresh.bias = old.weight, old.bias
        return fresh

    def _statistics(self, old: _BatchNorm) -> Any:
        channels, eps, affine = old.num_features, old.eps, old.affine
        match self.options.kind:
            case "layer":
                return nn.GroupNorm(1, channels, eps, affine)
            case "group":
                return nn.GroupNorm(_divisor(channels, self.options.groups), channels, eps, affine)
        if not isinstance(old, nn.BatchNorm2d):
            raise GanforgeError(
                "option 'regularizers.norm.kind': instance needs maps, not vectors; take layer or group"
            )
        return nn.InstanceNorm2d(channels, eps, affine=affine)


def _divisor(channels: int, most: int) -> int:
    """The largest number of equal groups up to `most`."""
    return next(groups for groups in range(min(most, channels), 0, -1) if channels % groups == 0)
