"""‖θ - 1/t Σ θ[i]‖² (Salimans et al., arXiv 1606.03498, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ganforge.core.game import Duel, Effect, Game, Role, Step
from ganforge.plugins.tricks.historical_averaging import HistoricalAveragingOptions


class HistoricalAveraging(Effect):
    """Each player pays the squared distance of its parameters to the mean of all they ever were.

    θ[1] are the initial parameters, and every move of the player adds one. The running mean, which the paper says
    makes long histories affordable, is a buffer for each parameter.
    """

    attach_order = 1  # after whatever adds parameters

    def __init__(self, options: HistoricalAveragingOptions) -> None:
        super().__init__()
        both: frozenset[Role] = frozenset({"discriminator", "generator"})
        self.roles = both if options.networks == "both" else frozenset({options.networks})
        self.weight = options.weight
        self.histories: dict[nn.Parameter, str] = {}

    def attach(self, game: Game) -> None:
        for player in game.players:
            if player.role not in self.roles:
                continue
            self.register_buffer(f"{player.name}/moves", torch.ones(()))
            for network in player.networks:
                for name, parameter in game.networks[network].named_parameters():
                    if parameter not in self.histories:
                        self.histories[parameter] = f"{network}/{name.replace('.', '/')}"
                        self.register_buffer(self.histories[parameter], parameter.detach().clone())

    def penalty(self, duel: Duel) -> Tensor:
        if duel is not duel.step.duels[0]:
            return torch.zeros((), device=duel.step.game.device)  # a player has its parameters once, however many duels
        distances = [(now - mean).square().sum() for now, mean in self._pairs(duel.step)]
        return self.weight * torch.stack(distances).sum()

    def after_step(self, step: Step) -> None:
        if step.player.role in self.roles:
            moves = self.get_buffer(f"{step.player.name}/moves")
            moves += 1
            for now, mean in self._pairs(step):
                mean += (now - mean) / moves

    def _pairs(self, step: Step) -> Iterator[tuple[Tensor, Tensor]]:
        """The player's parameters (or what it looks ahead with), each once, and their means."""
        seen: set[nn.Parameter] = set()
        for network in step.player.networks:
            ahead = step.weights.get(network, {})
            for name, parameter in step.game.networks[network].named_parameters():
                if parameter in self.histories and parameter not in seen:
                    seen.add(parameter)
                    yield ahead.get(name, parameter), self.get_buffer(self.histories[parameter])
