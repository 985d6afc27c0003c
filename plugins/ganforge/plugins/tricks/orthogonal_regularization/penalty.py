"""Equation 3 of Brock et al. (arXiv 1809.11096), and the form it relaxes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.core.game import Duel, Effect, Role, Step
from ganforge.plugins.blocks.maps import MAPS, output_axis
from ganforge.plugins.tricks.orthogonal_regularization import OrthogonalOptions


class OrthogonalRegularization(Effect):
    """β Σ over the layers of ‖WᵀW ⊙ (1 - I)‖² or ‖WᵀW - I‖², W having a filter of the layer in each column.

    A filter is what makes one output. W is the parameter that the optimizer moves: under spectral norm the weight
    before it is divided by σ, as in the authors' code, which also leaves out embeddings, as here. (That code adds half
    of this gradient.)
    """

    def __init__(self, options: OrthogonalOptions) -> None:
        super().__init__()
        both: frozenset[Role] = frozenset({"discriminator", "generator"})
        self.roles = both if options.networks == "both" else frozenset({options.networks})
        self.form, self.weight = options.form, options.weight

    def penalty(self, duel: Duel) -> Tensor:
        if duel is not duel.step.duels[0]:
            return torch.zeros((), device=duel.step.game.device)  # a player has its weights once, however many duels
        costs = [self.cost(filters) for filters in _filters(duel.step)]
        return self.weight * torch.stack(costs).sum()

    def cost(self, filters: Tensor) -> Tensor:
        """Of filters [n, d], in fp32.

        ‖WᵀW‖ = ‖WWᵀ‖, so the smaller of the two is computed: a first layer has many more filters than inputs.
        """
        with torch.autocast(filters.device.type, enabled=False):
            products = filters @ filters.T if len(filters) <= filters.shape[1] else filters.T @ filters
            squares = filters.square().sum(dim=1)
            off_diagonal = products.square().sum() - squares.square().sum()
            return off_diagonal if self.form == "off-diagonal" else off_diagonal + (squares - 1).square().sum()


def _filters(step: Step) -> Iterator[Tensor]:
    """Each linear and convolutional weight that the player moves (or looks ahead with), as outputs × the rest."""
    seen: set[nn.Module] = set()
    for network in step.player.networks:
        ahead = step.weights.get(network, {})
        for name, layer in step.game.networks[network].named_modules():
            if isinstance(layer, MAPS) and layer not in seen:
                seen.add(layer)
                key, weight = _parameter(layer)
                weight = ahead.get(f"{name}.{key}" if name else key, weight)
                yield weight.movedim(output_axis(layer), 0).flatten(1)


def _parameter(layer: Any) -> tuple[str, Tensor]:
    """The layer's weight as it is stored, and under which name."""
    parameters: dict[str, Tensor] = dict(layer.named_parameters())
    key = next(key for key in ("weight", "parametrizations.weight.original") if key in parameters)
    return key, parameters[key]
