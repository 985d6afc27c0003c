"""The game: networks, all state, and each player's objective. It knows no paper by name.

Three rules a reader needs here (docs/plugins.md has all eight): everything that changes during training
is a tensor in the game, so that `game.state_dict()` and the optimizers are the checkpoint; losses and penalties
see a duel (one critic, one source of reals, one of fakes) and not network names; every network call goes
through the step, where precision, views and look-ahead weights are handled once.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ganforge.core.config import UNCONDITIONED, Config, PlayerConfig
from ganforge.core.data import Data, DataSpec, Split
from ganforge.core.draw import Batch, Draw
from ganforge.core.duel import Clock, Critique, Duel, Generated, Networks, Player, Role, Step
from ganforge.core.latents import Generator
from ganforge.core.specs import Reading

__all__ = [
    "AdversarialGame",
    "Batch",
    "Clock",
    "Critique",
    "Draw",
    "Duel",
    "Effect",
    "Export",
    "Game",
    "Generated",
    "LossModule",
    "Networks",
    "Objective",
    "Parts",
    "Player",
    "Role",
    "Step",
    "make_optimizer",
]


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

    def scalars(self, step: Step) -> dict[str, Tensor]:
        """Figures of this move to log, by name, from what the step has computed already; without gradients."""
        return {}

    def after_step(self, step: Step) -> None:
        """The place to change buffers, after the player's optimizer stepped; without gradients, in fp32."""


class Effect(nn.Module):
    """A built regularizer: overrides what it needs of the methods below.

    `roles` are the players its penalty belongs to (none: it has no penalty). `every` makes the penalty lazy:
    only each `every`-th move of the player pays it, multiplied by `every` when `rescale` is true.
    `replaces` puts the penalty in the place of the player's loss instead of adding it. `differentiates_twice` says
    that it uses `duel.gradient`, which compiled networks cannot serve. `pairs_labels` gives the fakes of those players
    the labels of the reals beside them. Effects attach from the lowest `attach_order`
    to the highest, and in the recipe's order where it is the same.
    """

    roles: frozenset[Role] = frozenset()
    every: int = 1
    rescale: bool = True
    replaces: bool = False
    differentiates_twice: bool = False
    pairs_labels: bool = False
    attach_order: int = 0

    def attach(self, game: Game) -> None:
        """Change the networks' structure, once, before optimizers exist; a parameter that is not to learn is frozen by
        `requires_grad_(False)`."""

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

    def scalars(self, step: Step) -> dict[str, Tensor]:
        """Figures of this move to log, by name, from what the step has computed already; without gradients."""
        return {}

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


def _builds_nothing(data: DataSpec, options: Mapping[str, Any]) -> Networks:
    raise NotImplementedError("these parts came without an architecture")


def _loads_nothing(split: Split) -> Data:
    raise NotImplementedError("these parts came without data")


def _blames_nobody(name: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclass(frozen=True)
class Parts:
    """What a game is made of, built and seeded, before effects are attached.

    `build(data, options)` makes the architecture's networks again, conditioned as the config says: for other data,
    with some options other than the config's. `reading` is the loss's, where the loss came by its name. `load` gives
    a split of the run's data, for a game that is shown held-out samples. What is raised within `attaching(name)` is
    laid to that effect's owner.
    """

    config: Config
    data: DataSpec
    networks: Networks
    loss: LossModule
    effects: dict[str, Effect]
    device: torch.device
    build: Callable[[DataSpec, Mapping[str, Any]], Networks] = field(default_factory=lambda: _builds_nothing)
    reading: Reading | None = None
    load: Callable[[Split], Data] = field(default_factory=lambda: _loads_nothing)
    attaching: Callable[[str], contextlib.AbstractContextManager[None]] = field(default_factory=lambda: _blames_nobody)


@dataclass(frozen=True)
class Export:
    """A network users take away: which one, and whether it takes labels.

    One that takes pictures [N, C, H, W] in the place of latents has a `multiple`, of which their sides must be
    multiples, and a shortest side, `least`; it gives pictures of `scale` times their sides.
    """

    network: str
    labelled: bool = False
    multiple: int = 0
    least: int = 0
    scale: int = 1


def truncates(generator: nn.Module) -> bool:
    """Whether a generator has styles, and truncates them by itself."""
    return bool(getattr(generator, "truncates", False))


class Game(nn.Module):
    """Networks, their averages, effects, the loss and the players. A paper with other rules subclasses it."""

    averaged: Sequence[str] = ("generator",)
    taken: Sequence[str] = ()
    """The networks that a start from another run fills; all, where none is named."""
    sampled_at_once: int = 64

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.config, self.data, self.latent = parts.config, parts.data, parts.config.latent
        self.device, self.reading = parts.device, parts.reading
        self.networks = nn.ModuleDict(parts.networks._asdict())
        self.loss: LossModule = parts.loss
        self.effects = nn.ModuleDict(parts.effects)
        self.players = self.make_players()
        if odd := [player.name for player in self.players if "/" in player.name]:
            raise ValueError(f"a player's name has no slash, as '{odd[0]}' has")  # a checkpoint's keys have one there
        for name, effect in sorted(parts.effects.items(), key=lambda named: named[1].attach_order):
            with parts.attaching(name):
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

    @property
    def labelled(self) -> bool:
        """Whether users give labels to what they take away."""
        return any(export.labelled for export in self.exports().values())

    @property
    def translates(self) -> bool:
        """Whether users give pictures to what they take away, and no latents."""
        return any(export.multiple for export in self.exports().values())

    @property
    def averaged_generator(self) -> Generator:
        """The averaged generator as users have it, to whom it is a function of latents and labels."""
        return Generator(self.latent, self.data, self.labelled, self.sample, styled=self.styled)

    @property
    def styled(self) -> bool:
        """Whether the averaged generator truncates by its own means, in its styles, and not its latents."""
        return "generator" in self.ema and truncates(self.ema["generator"])

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

    def pairs_labels(self, player: Player) -> bool:
        """Whether a player's fakes have the labels of the reals beside them."""
        return any(effect.pairs_labels and player.role in effect.roles for effect in self.each_effect())

    # What the loop asks of a game.

    def each_effect(self) -> Iterator[Effect]:
        for effect in self.effects.values():
            assert isinstance(effect, Effect)
            yield effect

    def moving(self, clock: Clock) -> list[Player]:
        """The players that move in a round, in their order: all, unless a paper trains in stages."""
        return self.players

    def before_round(self, clock: Clock) -> None:
        for effect in self.each_effect():
            effect.before_round(self, clock)
        for player in self.players:
            for group in player.optimizer.param_groups:
                group["lr"] = player.config.rate(clock.round, clock.rounds)

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

    def real(self, draw: Draw, clock: Clock, indices: np.ndarray | None = None) -> Batch:
        batch = draw.batch(indices)
        for effect in self.each_effect():
            batch = effect.real(batch, clock)
        return batch

    def view(self, images: Tensor, step: Step, name: str) -> Tensor:
        for key, effect in self.effects.items():
            assert isinstance(effect, Effect)
            images = effect.view(images, step.draw.scoped(f"view/{key}/{name}"), step.clock)
        return images

    def inputs(self, seed: int, n: int, *, start: int = 0, truncation: float | None = None) -> np.ndarray:
        """What `sample` and `preview` take for pictures `start` … `start + n` of `seed`: latents [n, latent.width].

        `truncation` is theirs, unless it is the network's own affair, which is `styled`.
        """
        return self.latent.sample(seed, n, start=start, truncation=None if self.styled else truncation)

    def given(self, inputs: np.ndarray, network: str = "generator") -> np.ndarray:
        """What of `inputs` a network gets from `sample`: all, but where they hold more, as a picture's counterpart."""
        return inputs

    def preview(
        self, latents: np.ndarray, labels: np.ndarray | None = None, *, truncation: float | None = None
    ) -> np.ndarray:
        """What a sample picture shows for each input: by default its sample."""
        return self.sample(latents, labels, truncation=truncation)

    @torch.no_grad()
    def sample(
        self,
        latents: np.ndarray,
        labels: np.ndarray | None = None,
        network: str = "generator",
        *,
        truncation: float | None = None,
    ) -> np.ndarray:
        """The averaged network's samples in fp32: [N, latent.width] to float32 [N, *shape], in pieces;
        `truncation` is for a network that truncates its styles."""
        module = self.ema[network]
        pieces = []
        for start in range(0, len(latents), self.sampled_at_once):
            rows = slice(start, start + self.sampled_at_once)
            z = torch.from_numpy(latents[rows]).to(self.device)
            y = None if labels is None else torch.from_numpy(labels[rows]).to(self.device)
            style = {} if truncation is None else {"truncation": z.new_full((len(z), 1), truncation)}
            pieces.append(module(z, y, **style).images.float().cpu().numpy())
        return np.ascontiguousarray(np.concatenate(pieces))

    def pictured(
        self, latents: np.ndarray, labels: np.ndarray | None, data: Data
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The whole of a sample picture: previews of the fixed inputs, and the labels by which they are laid out.

        A game with more to show puts it among them. `data` is the training split.
        """
        return self.preview(latents, labels), labels

    def precision(self) -> torch.autocast:
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.config.machine.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _equip(self, player: Player) -> None:
        modules = [self.networks[name] for name in player.networks]
        # Networks of one player may share layers; the optimizer must have each once, and none that was frozen.
        every = dict.fromkeys(p for module in modules for p in module.parameters())
        player.parameters = [parameter for parameter in every if parameter.requires_grad]
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
            loss = self.player_loss(step)
            scalars[f"loss/{player.name}"] = loss.detach()
        if player.role == "discriminator":
            scalars["d_real"] = self.loss.read(step.on_real.logits.detach()).mean()
            scalars["d_fake"] = self.loss.read(step.on_fake.logits.detach()).mean()
        scalars |= self._figures(step)
        shares = self.config.fakes == "shared" and player.role == "generator"
        return Objective(sum(penalties.values(), loss), step, scalars, keep_graph=shares)

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        """The place where a game of several duels adds its own to `step.duels`."""
        return Step(self, player, draw, clock)

    def player_loss(self, step: Step) -> Tensor:
        """The moving player's loss, without penalties: the sum over its duels, unless a game weighs them otherwise."""
        return torch.stack([getattr(self.loss, step.player.role)(duel) for duel in step.duels]).sum()

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

    @torch.no_grad()
    def _figures(self, step: Step) -> dict[str, Tensor]:
        """What the loss and the effects want logged, under their names, as it is before they change it."""
        owners: dict[str, Any] = {self.config.loss.name: self.loss, **self.effects}
        return {
            f"{owner}/{name}": figure.clone()
            for owner, part in owners.items()
            for name, figure in part.scalars(step).items()
        }

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
        return {"generator": Export("generator", labelled=self.config.generator.conditioning.name != UNCONDITIONED)}


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
