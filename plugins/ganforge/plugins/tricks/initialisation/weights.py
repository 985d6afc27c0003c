"""Initial weights of any network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks import surgery
from ganforge.plugins.blocks.maps import WEIGHTED, output_axis
from ganforge.plugins.tricks.initialisation import InitialisationOptions


class Initialisation(Effect):
    """Every linear, convolutional and embedding weight of the chosen networks, drawn anew before the first round."""

    attach_order = surgery.INITIALISES

    def __init__(self, options: InitialisationOptions) -> None:
        super().__init__()
        self.options = options

    def attach(self, game: Game) -> None:
        search = surgery.Search(
            "initialisation",
            self.options.networks,
            "linear, convolutional or embedding layer",
            lambda layer: isinstance(layer, WEIGHTED),
        )
        for layer in surgery.find(game, search):
            self.draw(layer.weight, output_axis(layer))

    @torch.no_grad()
    def draw(self, weight: Tensor, output_axis: int) -> None:
        """Draw a weight as outputs × inputs × kernel: Glorot's uniform, He's normal with the gain √2 of ReLU."""
        drawn = torch.empty_like(weight.movedim(output_axis, 0), memory_format=torch.contiguous_format)
        match self.options.kind:
            case "orthogonal":
                nn.init.orthogonal_(drawn, self.options.gain)
            case "xavier":
                nn.init.xavier_uniform_(drawn, self.options.gain)
            case "he":
                nn.init.kaiming_normal_(drawn, nonlinearity="relu").mul_(self.options.gain)
            case "normal":
                nn.init.normal_(drawn, 0.0, self.options.std)
        weight.copy_(drawn.movedim(0, output_axis))
