"""The game: networks, all state, and each player's objective. It knows no paper by name.

Three rules a reader needs here (docs/writing-a-plugin.md has all eight): everything that changes during training
is a tensor in the game, so that `game.state_dict()` and the optimizers are the checkpoint; losses and penalties
see a duel (one critic, one source of reals, one of fakes) and not network names; every network call goes
through the step, where precision, views and look-ahead weights are handled once.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ganforge.core import distributed
from ganforge.core.config import Config, PlayerConfig
from ganforge.core.data import DataSpec
from ganforge.core.draw import Batch, Draw

Role = Literal["discriminator", "generator"]


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
        classes = len(self.game.data.classes)
        return self.draw.integers("labels", classes) if classes else None

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


class LossModule(nn.Module):
    """A built loss. Pure, but for `after_step`; its state, if any, is in buffers."""

    def discriminator(self, duel: Duel) -> Tensor:
        """The scalar the discriminator minimises."""
        raise NotImplementedError

    def generator(self, duel: Duel) -> Tensor:
        """The scalar the generator minimises."""
        raise NotImplementedError

    def read(self, logits: Tensor) -> Tensor:
        """Critic outputs as the loss's `Reading` shows them to a person."""
        return logits

    def after_step(self, step: Step) -> None:
        """The place to change buffers, after the player's optimizer stepped; without gradients, in fp32."""


class Effect(nn.Module):
    """A built regularizer: overrides what it needs of the methods below.

    `roles` are the players its penalty belongs to (none: it has no penalty). `every` makes the penalty lazy:
    only each `every`-th move of the player pays it, multiplied by `every` when `rescale` is true.
    `replaces` puts the penalty in the place of the player's loss instead of adding it.
    """

    roles: frozenset[Role] = frozenset()
    every: int = 1
    rescale: bool = True
    replaces: bool = False

    def attach(self, game: Game) -> None:
        """Change the networks' structure, once, before optimizers exist."""

    def before_round(self, game: Game, clock: Clock) -> None:
        """Change a network's stage or an own buffer as the training goes on."""

    def real(self, batch: Batch, clock: Clock) -> Batch:
        """Change the real data."""
        return batch

    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        """What the critic sees of an image, real or fake; must be differentiable."""
        return images

    def penalty(self, duel: Duel) -> Tensor:
        """A scalar to add to the player's loss, with its weight."""
        raise NotImplementedError

    def after_step(self, step: Step) -> None:
        """After the player's optimizer stepped: clip weights, move an own buffer. Without gradients, in fp32."""


class Objective(NamedTuple):
    """What a player minimises in one move, the step it came from, and scalars to log (detached, on the device).

    `keep_graph` leaves the graph for the next player.
    """

    loss: Tensor
    step: Step
    scalars: dict[str, Tensor]
    keep_graph: bool = False


@dataclass(frozen=True)
class Parts:
    """What a game is made of, built and seeded, before effects are attached."""

    config: Config
    data: DataSpec
    networks: Networks
    loss: LossModule
    effects: dict[str, Effect]
    device: torch.device


@dataclass(frozen=True)
class Export:
    """A network users take away: which one, and whether it takes labels."""

    network: str
    labelled: bool = False


class Game(nn.Module):
    """Networks, their averages, effects, the loss and the players. A paper with other rules subclasses it."""

    averaged: Sequence[str] = ("generator",)

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.config, self.data, self.latent = parts.config, parts.data, parts.config.latent
        self.device = parts.device
        self.networks = nn.ModuleDict(parts.networks._asdict())
        self.loss: LossModule = parts.loss
        self.effects = nn.ModuleDict(parts.effects)
        self.players = self.make_players()
        for effect in self.each_effect():
            effect.attach(self)
        self.to(self.device)
        if self.config.machine.channels_last and self.data.kind == "images":
            self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = nn.ModuleDict({name: copy.deepcopy(self.networks[name]) for name in self.averaged})
        self.ema.requires_grad_(False).eval()
        self._averages = [
            (average, live)
            for name in self.averaged
            for average, live in zip(_tensors(self.ema[name]), _tensors(self.networks[name]), strict=True)
        ]
        for player in self.players:
            self._equip(player)

    def make_players(self) -> list[Player]:
        """The players in the order in which they move."""
        raise NotImplementedError

    def objective(self, player: Player, draw: Draw, clock: Clock) -> Objective:
        """What a player minimises in this move."""
        raise NotImplementedError

    def exports(self) -> Mapping[str, Export]:
        """The networks users take away, by the name of the file's stem."""
        raise NotImplementedError

    # What effects may ask of a game.

    def adopt(self, name: str, network: nn.Module, player: str) -> None:
        """Take in another network, moved by a player (only in `attach`)."""
        self.networks[name] = network
        next(p for p in self.players if p.name == player).networks.append(name)

    def configure(self, network: str, **stage: Any) -> None:
        """Change a network's stage, which must be a buffer of it: the live one and its average together."""
        for holder in (self.networks, self.ema):
            if network in holder:
                configure: Callable[..., None] = holder[network].configure  # type: ignore[assignment]
                configure(**stage)

    def reset_optimizer(self, player: str) -> None:
        """Forget a player's moments, where a paper does."""
        next(p for p in self.players if p.name == player).optimizer.state.clear()

    # What the loop asks of a game.

    def each_effect(self) -> Iterator[Effect]:
        for effect in self.effects.values():
            assert isinstance(effect, Effect)
            yield effect

    def before_round(self, clock: Clock) -> None:
        for effect in self.each_effect():
            effect.before_round(self, clock)
        for player in self.players:
            rate = player.config.lr
            if player.config.lr_decay == "linear":
                rate *= 1 - clock.round / clock.rounds
            for group in player.optimizer.param_groups:
                group["lr"] = rate

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        self.loss.after_step(step)
        for effect in self.each_effect():
            effect.after_step(step)

    @torch.no_grad()
    def average(self, clock: Clock) -> None:
        """Move the averages towards the live networks: parameters and buffers."""
        ema = self.config.ema
        decay = min(ema.decay, (1 + clock.round) / (10 + clock.round)) if ema.warmup else ema.decay
        floats = [(average, live) for average, live in self._averages if average.is_floating_point()]
        get_ema_multi_avg_fn(decay)([average for average, _ in floats], [live for _, live in floats], None)
        for average, live in self._averages:
            if not average.is_floating_point():
                average.copy_(live)

    def real(self, draw: Draw, clock: Clock) -> Batch:
        batch = draw.batch()
        for effect in self.each_effect():
            batch = effect.real(batch, clock)
        return batch

    def view(self, images: Tensor, step: Step, name: str) -> Tensor:
        for key, effect in self.effects.items():
            assert isinstance(effect, Effect)
            images = effect.view(images, step.draw.scoped(f"view/{key}/{name}"), step.clock)
        return images

    @torch.no_grad()
    def sample(self, latents: np.ndarray, labels: np.ndarray | None = None, network: str = "generator") -> np.ndarray:
        """The averaged network's samples in fp32: [N, latent.width] to float32 [N, *shape], in pieces of 64."""
        module = self.ema[network]
        pieces = []
        for start in range(0, len(latents), 64):
            z = torch.from_numpy(latents[start : start + 64]).to(self.device)
            y = None if labels is None else torch.from_numpy(labels[start : start + 64]).to(self.device)
            pieces.append(module(z, y).images.float().cpu().numpy())
        return np.ascontiguousarray(np.concatenate(pieces))

    def precision(self) -> torch.autocast:
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.config.machine.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _equip(self, player: Player) -> None:
        modules = [self.networks[name] for name in player.networks]
        player.parameters = [p for module in modules for p in module.parameters()]
        player.optimizer = make_optimizer(player.parameters, player.config)
        player.scaler = torch.amp.GradScaler(self.device.type, enabled=self.config.machine.precision == "fp16")


class AdversarialGame(Game):
    """Generator against discriminator: the standard game of Goodfellow et al. (arXiv 1406.2661)."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._shared: Step | None = None

    def make_players(self) -> list[Player]:
        players = [
            Player("discriminator", "discriminator", ["discriminator"], self.config.discriminator),
            Player("generator", "generator", ["generator"], self.config.generator),
        ]
        return players[::-1] if self.config.order == "generator-first" else players

    def before_round(self, clock: Clock) -> None:
        super().before_round(clock)
        self._shared = None

    def objective(self, player: Player, draw: Draw, clock: Clock) -> Objective:
        step = self.make_step(player, draw, clock)
        if self.config.fakes == "shared":
            self._share(step)
        scalars: dict[str, Tensor] = {}
        penalties = self._penalties(step, scalars)
        if any(self.effects[name].replaces for name in penalties):
            loss = torch.zeros((), device=self.device)
        else:
            loss = torch.stack([getattr(self.loss, player.role)(duel) for duel in step.duels]).sum()
            scalars[f"loss/{player.name}"] = loss.detach()
        if player.role == "discriminator":
            scalars["d_real"] = self.loss.read(step.on_real.logits.detach()).mean()
            scalars["d_fake"] = self.loss.read(step.on_fake.logits.detach()).mean()
        shares = self.config.fakes == "shared" and player.role == "generator"
        return Objective(sum(penalties.values(), loss), step, scalars, keep_graph=shares)

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        """The place where a game of several duels adds its own to `step.duels`."""
        return Step(self, player, draw, clock)

    def _penalties(self, step: Step, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        penalties: dict[str, Tensor] = {}
        for name, effect in self.effects.items():
            assert isinstance(effect, Effect)
            if step.player.role not in effect.roles or step.draw.position % effect.every:
                continue
            penalty = torch.stack([effect.penalty(duel) for duel in step.duels]).sum()
            penalties[name] = penalty * effect.every if effect.rescale else penalty
            scalars[f"penalty/{name}"] = penalties[name].detach()
        return penalties

    def _share(self, step: Step) -> None:
        """Let a player see the fakes of the one before it in the round.

        A discriminator that moves second has not changed since it judged them, so that judgement is shared too.
        """
        before, self._shared = self._shared, step
        if before is None or before.player is step.player:
            return
        step.latent, step.labels, step.generated = before.latent, before.labels, before.generated
        if step.player.role == "discriminator":
            step.fake, step.on_fake = before.fake, before.on_fake

    def exports(self) -> Mapping[str, Export]:
        return {"generator": Export("generator")}


def make_optimizer(parameters: list[nn.Parameter], config: PlayerConfig) -> torch.optim.Optimizer:
    """The optimizer a player's config names; fused kernels, which are exact and faster."""
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, config.lr, config.betas, weight_decay=config.weight_decay, fused=True)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            parameters, config.lr, config.alpha, weight_decay=config.weight_decay, momentum=config.momentum
        )
    return torch.optim.SGD(parameters, config.lr, config.momentum, weight_decay=config.weight_decay, fused=True)


def _tensors(module: nn.Module) -> list[Tensor]:
    return list(module.state_dict().values())
