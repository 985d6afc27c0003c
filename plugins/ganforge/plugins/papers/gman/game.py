"""The game of GMAN (Durugkar et al., arXiv 1611.01673): N duels, and one generator that weighs them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganforge.core.draw import Draw
from ganforge.core.game import AdversarialGame, Clock, Duel, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.papers.gman import GmanOptions


def soft(losses: Tensor, sharpness: Tensor | float) -> Tensor:
    """Section 3.2's softmax: Σ wᵢ Lᵢ of losses [N], with wᵢ = exp(λ Lᵢ) / Σ exp(λ Lⱼ); gradients go through w too.

    0 makes it the mean; as λ grows it becomes the maximum.
    """
    return (torch.softmax(sharpness * losses, dim=0) * losses).sum()


class Sharpness(nn.Module):
    """GMAN*'s λ ≥ 0, one number that the generator moves: the softplus of a parameter."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(start + math.log(-math.expm1(-start))))

    def forward(self) -> Tensor:
        return softplus(self.raw)


class GmanGame(AdversarialGame):
    """Every discriminator minimises its own loss; the generator an aggregate of its losses against each.

    The networks are `discriminator`, `discriminator-2` and so on, moved by one player: its optimizer treats every
    weight by itself, and no discriminator's loss has another's weights in it.
    """

    def __init__(self, parts: Parts) -> None:
        self.options = parse(GmanOptions, parts.config.recipe.values, "recipe")
        super().__init__(replace(parts, networks=parts.networks._replace(discriminator=_members(parts, self.options))))

    def make_players(self) -> list[Player]:
        members = cast(nn.ModuleList, self.networks.pop("discriminator"))
        self.critics = ["discriminator", *(f"discriminator-{i}" for i in range(2, len(members) + 1))]
        self.networks.update(dict(zip(self.critics, members, strict=True)))
        players = super().make_players()
        for player in players:
            if player.role == "discriminator":
                player.networks = list(self.critics)
            elif self.options.aggregate == "learned":
                self.networks["sharpness"] = Sharpness(self.options.sharpness)
                player.networks.append("sharpness")
        return players

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        step = super().make_step(player, draw, clock)
        step.duels += [Duel(step, critic, lambda: step.batch, lambda: step.fake) for critic in self.critics[1:]]
        return step

    def player_loss(self, step: Step) -> Tensor:
        if step.player.role == "discriminator":
            return super().player_loss(step)
        # Weights are functions of the losses over all processes, each a mean over its share of the batch.
        losses = step.mean(torch.stack([self.loss.generator(duel) for duel in step.duels])[None])
        aggregates: dict[str, Callable[[], Tensor]] = {
            "mean": losses.mean,
            "max": losses.max,
            "softmax": lambda: soft(losses, self.options.sharpness),
            "learned": lambda: self._learned(step, losses),
        }
        return aggregates[self.options.aggregate]()

    def _learned(self, step: Step, losses: Tensor) -> Tensor:
        """Section 4.2: the generator also chooses λ, and is paid c for each unit of it."""
        sharpness: Tensor = step.call("sharpness")
        return soft(losses, sharpness) - self.options.reward * sharpness


def _members(parts: Parts, options: GmanOptions) -> nn.ModuleList:
    """The discriminators: the recipe's own, and as many more of the same architecture as are asked for."""
    differences = [*options.members, *[{}] * (options.discriminators - len(options.members))]
    first = parts.build(parts.data, differences[0]).discriminator if differences[0] else parts.networks.discriminator
    return nn.ModuleList([first, *(parts.build(parts.data, changed).discriminator for changed in differences[1:])])
