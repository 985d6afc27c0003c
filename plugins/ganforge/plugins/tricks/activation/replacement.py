"""The activations, and which layers they take the place of."""

from __future__ import annotations

from torch import nn

from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks import surgery
from ganforge.plugins.tricks.activation import ActivationOptions

HIDDEN = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus)
"""Activations of hidden layers. Tanh and sigmoid are how images end, gates and attention are built, and stay."""


class Activation(Effect):
    """Every hidden activation of the chosen networks, replaced; weights stay as they were drawn."""

    attach_order = surgery.REPLACES

    def __init__(self, options: ActivationOptions) -> None:
        super().__init__()
        self.options = options

    def attach(self, game: Game) -> None:
        what = "activation that is a layer of its own"
        wanted = surgery.Search("activation", self.options.networks, what, lambda layer: isinstance(layer, HIDDEN))
        surgery.replace(game, wanted, self.replacement)

    def replacement(self, old: nn.Module) -> nn.Module:
        inplace = bool(getattr(old, "inplace", False))
        match self.options.kind:
            case "leaky-relu":
                return nn.LeakyReLU(self.options.slope, inplace)
            case "relu":
                return nn.ReLU(inplace)
            case "elu":
                return nn.ELU(inplace=inplace)
            case "silu":
                return nn.SiLU(inplace)
