"""The game of Metz et al. (arXiv 1611.02163, section 2): the generator looks k discriminator steps ahead."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.config import Config
from ganforge.core.draw import Draw
from ganforge.core.game import AdversarialGame, Clock, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.papers.unrolled import UnrolledOptions
from ganforge.plugins.papers.unrolled.optimizers import UPDATES, flat

Weights = dict[str, dict[str, Tensor]]


class UnrolledGame(AdversarialGame):
    """The generator's moves are judged by the discriminator as it would be k of its own steps later.

    f_K(θ_G, θ_D) = f(θ_G, θ_D^K(θ_G, θ_D)), where each look-ahead step is one of D's optimizer on D's objective
    with its penalties, from its live moments, on the move's own reals and fakes. Nothing of D changes: its
    weights ahead and the buffers it writes to are copies that live as long as the move.
    """

    def __init__(self, parts: Parts) -> None:
        check(parts.config)
        super().__init__(parts)
        options = parse(UnrolledOptions, self.config.recipe.values, "recipe")
        self.ahead, self.through = options.steps, options.through
        automatic = "saddle" if self.data.kind == "points" else "loss"
        objective = automatic if options.objective == "auto" else options.objective
        self.saddle = objective == "saddle" and self.ahead > 0
        (self.opponent,) = (player for player in self.players if player.role == "discriminator")

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        step = super().make_step(player, draw, clock)
        if player.role == "generator" and self.ahead:
            step.weights.update(self.look_ahead(step))
        return step

    def player_loss(self, step: Step) -> Tensor:
        """The generator's: -f of the look-ahead (section 2.1), reals and all, as what D makes of them depends on G."""
        if step.player.role == "generator" and self.saddle:
            return -torch.stack([self.loss.discriminator(duel) for duel in step.duels]).sum()
        return super().player_loss(step)

    def look_ahead(self, step: Step) -> Weights:
        """θ_D^K of a generator's step, as weights by network and name; differentiable in the step's fakes."""
        buffers = {
            name: {key: buffer.clone() for key, buffer in self.networks[name].named_buffers()}
            for name in self.opponent.networks
        }
        weights = flat(self.opponent.parameters)
        update = UPDATES[self.opponent.config.optimizer](self.opponent.optimizer, self.opponent.parameters)
        for number in range(self.ahead):
            weights.requires_grad_()
            ahead = self._step_ahead(step, number, self._named(weights, buffers))
            weights = update(weights, self._gradient(ahead, weights))
        return self._named(weights, buffers)

    def _step_ahead(self, step: Step, number: int, weights: Weights) -> Step:
        """The discriminator's move on the generator's samples and the same reals."""
        ahead = Step(self, self.opponent, step.draw.scoped(f"ahead/{number}"), step.clock)
        ahead.weights.update(weights)
        ahead.latent, ahead.labels, ahead.generated, ahead.batch = step.latent, step.labels, step.generated, step.batch
        ahead.fake = step.fake if self.through else step.fake.detach().requires_grad_()
        return ahead

    def _gradient(self, ahead: Step, weights: Tensor) -> Tensor:
        """Of what the discriminator minimises, over all processes; float32 [P]."""
        loss = sum(self._penalties(ahead, {}).values(), self.player_loss(ahead))
        gradient = ahead.gradient(loss, weights)
        if not self.through:
            gradient = gradient.detach()
        return ahead.mean(gradient[None])

    def _named(self, weights: Tensor, buffers: Mapping[str, Mapping[str, Tensor]]) -> Weights:
        """A vector of all the opponent's weights that learn, cut up for `Step.weights`; frozen ones and the buffers
        beside them."""
        pieces = weights.split([p.numel() for p in self.opponent.parameters])
        shaped = {p: piece.view_as(p) for p, piece in zip(self.opponent.parameters, pieces, strict=True)}
        return {
            name: {key: shaped.get(p, p) for key, p in self.networks[name].named_parameters()} | {**buffers[name]}
            for name in self.opponent.networks
        }


def check(config: Config) -> None:
    """What looking ahead cannot be combined with.

    Raises:
        GanforgeError: a discriminator's optimizer without a differentiable form, shared fakes, or --compile.
    """
    if config.discriminator.optimizer not in UPDATES:
        raise GanforgeError(
            f"option 'discriminator.optimizer': recipe '{config.recipe.name}' can look ahead along "
            f"{' and '.join(UPDATES)}, not {config.discriminator.optimizer}"
        )
    if config.fakes == "shared":
        raise GanforgeError(
            f"option 'fakes': recipe '{config.recipe.name}' judges a generator's fakes by a discriminator that is "
            "not yet there, so the discriminator cannot share that judgement; set it to fresh"
        )
    if config.machine.compile:
        raise GanforgeError(
            f"--compile: compiled networks cannot be differentiated twice, as '{config.recipe.name}' does"
        )
