"""What losses and tricks see of a game: a duel of one critic, and the step it belongs to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ganforge.core import distributed
from ganforge.core.config import PlayerConfig
from ganforge.core.draw import Batch, Draw
from ganforge.core.words import Role

if TYPE_CHECKING:
    from ganforge.core.game import Game


class Critique(NamedTuple):
    """What every critic returns, per sample: logits [N] or [N, k], and what a loss or trick may want beside."""

    logits: Tensor
    features: Tensor | None = None
    aux: Mapping[str, Tensor] = {}


class Generated(NamedTuple):
    """What every generator returns: samples [N, *shape], and the style they were made from, if any."""

    images: Tensor
    style: Tensor | None = None


class Networks(NamedTuple):
    """What an architecture builds. Both may take labels as a second argument (None where there are none)."""

    generator: nn.Module
    discriminator: nn.Module


@dataclass(frozen=True)
class Clock:
    """Where in the training a round is."""

    round: int
    rounds: int
    images: int


@dataclass(eq=False)
class Player:
    """One side of the game. Its optimizer is built after every effect is attached, and never rebuilt."""

    name: str
    role: Role
    networks: list[str]
    config: PlayerConfig
    parameters: list[nn.Parameter] = field(default_factory=list)
    optimizer: torch.optim.Optimizer = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)


class Duel:
    """One critic between one source of reals and one of fakes: all that losses and penalties see.

    Everything is computed once and cached. `real` and `fake` require grad, so that a penalty on their gradient
    can share the forward pass.
    """

    def __init__(self, step: Step, critic: str, real: Callable[[], Batch], fake: Callable[[], Tensor]) -> None:
        self.step, self.critic = step, critic
        self.player: Player = step.player
        self.draw: Draw = step.draw
        self._real, self._fake = real, fake

    @cached_property
    def batch(self) -> Batch:
        samples, labels = self._real()
        return Batch(samples.requires_grad_(), labels)

    @property
    def real(self) -> Tensor:
        return self.batch.samples

    @property
    def real_labels(self) -> Tensor | None:
        return self.batch.labels

    @cached_property
    def fake(self) -> Tensor:
        return self._fake()

    @property
    def fake_labels(self) -> Tensor | None:
        return self.step.labels

    @cached_property
    def on_real(self) -> Critique:
        return self.critique(self.real, self.real_labels, name="real")

    @cached_property
    def on_fake(self) -> Critique:
        return self.critique(self.fake, self.fake_labels, name="fake")

    def critique(self, x: Tensor, y: Tensor | None = None, *, view: bool = True, name: str = "other") -> Critique:
        """The critic's opinion of x [N, *shape] after every view; `name` keeps the views' randomness apart."""
        if view:
            x = self.step.game.view(x, self.step, name)
        critique: Critique = self.call(self.critic, x, y)
        return critique._replace(logits=critique.logits.float())

    def call(self, network: str, *args: Any) -> Any:
        """Run a network of the game in the run's precision, with look-ahead weights where there are any."""
        return self.step.run(network, *args)

    def gradient(self, scalar: Tensor, wrt: Tensor) -> Tensor:
        """d scalar / d wrt, itself differentiable. Scaled inside for fp16, so that small values survive."""
        scale = self.step.player.scaler.scale(torch.ones((), device=scalar.device))
        (gradient,) = torch.autograd.grad(scalar * scale, wrt, create_graph=True)
        return gradient.float() / scale

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean over the global batch (all processes), differentiable."""
        return distributed.mean(tensor)

    def gather(self, tensor: Tensor) -> Tensor:
        """The global batch's rows (all processes), differentiable."""
        return distributed.gather(tensor)


class Step(Duel):
    """One move of one player, and the duel of the standard game.

    `weights` maps a network's name to parameters and buffers to use in place of its own (look-ahead). Other
    games put their own duels into `duels`.
    """

    def __init__(self, game: Game, player: Player, draw: Draw, clock: Clock) -> None:
        self.game, self.clock = game, clock
        self.player, self.draw = player, draw
        super().__init__(self, "discriminator", lambda: game.real(draw, clock), self._make_fake)
        self.weights: dict[str, Mapping[str, Tensor]] = {}
        self.duels: list[Duel] = [self]

    @cached_property
    def labels(self) -> Tensor | None:
        """Of the fakes, int64 [N]: at random, or those of the reals beside them where an effect wants it."""
        if not (classes := len(self.game.data.classes)):
            return None
        return self.real_labels if self.game.pairs_labels(self.player) else self.draw.integers("labels", classes)

    @cached_property
    def latent(self) -> Tensor:
        return self.draw.latent(self.game.latent)

    @cached_property
    def generated(self) -> Generated:
        generated: Generated = self.call("generator", self.latent, self.labels)
        return generated._replace(images=generated.images.float())

    def _make_fake(self) -> Tensor:
        if self.player.role == "generator":
            return self.generated.images
        # The discriminator moves against fixed fakes: without the generator's graph they cost a third.
        # A generator that moves next on the same fakes needs the graph.
        with contextlib.nullcontext() if self.game.config.fakes == "shared" else torch.no_grad():
            images = self.generated.images
        return images.detach().requires_grad_()

    def run(self, network: str, *args: Any) -> Any:
        module = self.game.networks[network]
        with self.game.precision():
            if network in self.weights:
                return torch.func.functional_call(module, dict(self.weights[network]), args)
            return module(*args)
