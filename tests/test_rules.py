"""The eight rules a round obeys, each with a test that fails when it is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from ganforge.core import GanforgeError, Options, Reading, Recipe, Regularizer, resume, train
from ganforge.core.config import Config, resolve
from ganforge.core.draw import Batch, Draw, Stream
from ganforge.core.game import (
    AdversarialGame,
    Clock,
    Duel,
    Effect,
    Export,
    Game,
    LossModule,
    Objective,
    Parts,
    Player,
    Step,
)
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.core.specs import Loss
from ganforge.plugins.builtin import BUILTIN

CLOCK = Clock(0, 10, 0)


@pytest.fixture
def registry() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


def add(registry: Registry, kind: str, spec: Any) -> None:
    """Register a spec of this test's own."""
    registry._add(kind, spec, registry.plugins[-1])


def add_effect(registry: Registry, name: str, effect: type[Effect]) -> None:
    add(registry, "regularizer", Regularizer(name=name, summary="", build=lambda options: effect()))


def make(registry: Registry, **changes: Any) -> tuple[Game, Stream]:
    config, data = resolve(tiny.request(**changes), registry)
    game = build_game(config, data.spec, registry)
    return game, Stream(data, config.seed)


def draw_for(game: Game, stream: Stream, player: str = "discriminator", round_: int = 0, move: int = 0) -> Draw:
    return Draw(game.config.seed, round_, player, move, game.config.batch_size, game.device, stream, round_ + move)


def step_for(game: Game, stream: Stream, player: str = "discriminator") -> Step:
    chosen = next(p for p in game.players if p.name == player)
    return Step(game, chosen, draw_for(game, stream, player), CLOCK)


def same_state(one: Game, other: Game) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), name


# Rule 1: all state is a tensor in the game.


class Counter(Effect):
    """A regularizer with state: its weight grows with every discriminator step, its pool remembers a fake."""

    roles = frozenset({"discriminator"})

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("pool", torch.zeros(1, 8, 8))
        self.steps: Tensor
        self.pool: Tensor

    def penalty(self, duel: Duel) -> Tensor:
        return self.steps * duel.on_real.logits.square().mean() + (duel.fake - self.pool).square().mean()

    def after_step(self, step: Step) -> None:
        if step.player.role == "discriminator":
            self.steps += 0.1
            self.pool.copy_(step.fake[0].detach())


class Balance(LossModule):
    """A loss with state, like an equilibrium term."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("k", torch.zeros(()))
        self.k: Tensor

    def discriminator(self, duel: Duel) -> Tensor:
        return (duel.on_real.logits - 1).square().mean() + self.k * duel.on_fake.logits.square().mean()

    def generator(self, duel: Duel) -> Tensor:
        return (duel.on_fake.logits - 1).square().mean()

    def after_step(self, step: Step) -> None:
        self.k.add_(0.01 * step.on_fake.logits.mean()).clamp_(0, 1)


def test_rule_1_losses_and_effects_with_state_resume_exactly(registry: Registry, tmp_path: Path) -> None:
    add_effect(registry, "counter", Counter)
    add(registry, "loss", Loss(name="balance", summary="", build=lambda options: Balance(), reading=Reading("D")))
    wanted = tiny.request(loss="balance", regularizers={"counter": True}, steps=6)
    whole = train(wanted, tmp_path / "whole", registry=registry)
    train({**wanted, "steps": 4}, tmp_path / "parts", registry=registry)
    parts = resume(tmp_path / "parts", steps=6, registry=registry)
    assert whole.game.effects["counter"].steps == pytest.approx(0.6)
    assert whole.game.loss.k > 0
    same_state(whole.game, parts.game)
    np.testing.assert_array_equal(whole.sample(3, seed=9), parts.sample(3, seed=9))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_rule_1_optimizers_resume_exactly(registry: Registry, tmp_path: Path, optimizer: str) -> None:
    player = {"optimizer": optimizer, "momentum": 0.5, "lr": 1e-2, "lr_decay": "none"}
    wanted = tiny.request(generator=player, discriminator={**player, "moves": 2}, steps=6)
    wanted["architecture"] = {"dropout": 0.5, "norm": True}
    whole = train(wanted, tmp_path / "whole", registry=registry)
    train({**wanted, "steps": 2}, tmp_path / "parts", registry=registry)
    same_state(whole.game, resume(tmp_path / "parts", steps=6, registry=registry).game)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_rule_1_precisions_resume_exactly(registry: Registry, tmp_path: Path, precision: str) -> None:
    machine = {"device": "cpu", "threads": 1, "precision": precision}
    whole = train(tiny.request(machine=machine, steps=6), tmp_path / "whole", registry=registry)
    train(tiny.request(machine=machine, steps=2), tmp_path / "parts", registry=registry)
    parts = resume(tmp_path / "parts", steps=6, registry=registry)
    same_state(whole.game, parts.game)
    for one, other in zip(whole.game.players, parts.game.players, strict=True):
        assert one.scaler.state_dict() == other.scaler.state_dict()


# Rule 2: losses and penalties see a duel, not network names.


class TwoCritics(AdversarialGame):
    """A game of two duels: a second critic judges the same pictures upside down."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)

    def make_players(self) -> list[Player]:
        import copy

        players = super().make_players()
        self.networks["second"] = copy.deepcopy(self.networks["discriminator"])
        next(p for p in players if p.role == "discriminator").networks.append("second")
        return players

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        step = super().make_step(player, draw, clock)
        flipped = Duel(step, "second", lambda: Batch(step.real.flip(2).detach(), None), lambda: step.fake.flip(2))
        step.duels = [step, flipped]
        return step

    def exports(self) -> dict[str, Export]:
        return {"generator": Export("generator")}


class OnEveryDuel(Effect):
    roles = frozenset({"discriminator"})
    seen: list[str] = []  # noqa: RUF012  a test's note, not state of the game

    def penalty(self, duel: Duel) -> Tensor:
        self.seen.append(duel.critic)
        return duel.gradient(duel.on_real.logits.sum(), duel.real).square().sum()


def test_rule_2_tricks_work_on_every_duel_of_a_custom_game(registry: Registry) -> None:
    add_effect(registry, "on-every-duel", OnEveryDuel)
    recipe = Recipe(name="two", summary="", settings=tiny.settings, game=lambda config, parts: TwoCritics(parts))
    add(registry, "recipe", recipe)
    game, stream = make(registry, recipe="two", regularizers={"on-every-duel": True})
    before = {name: p.clone() for name, p in game.networks["second"].named_parameters()}
    play_round(game, stream, CLOCK)
    assert OnEveryDuel.seen == ["discriminator", "second"]
    assert all(not torch.equal(before[n], p) for n, p in game.networks["second"].named_parameters() if "weight" in n)


def test_rule_2_everything_in_a_duel_is_computed_once(registry: Registry) -> None:
    game, stream = make(registry)
    calls: list[int] = []
    game.networks["discriminator"].register_forward_hook(lambda *_: calls.append(1))
    step = step_for(game, stream)
    assert step.on_real is step.on_real
    assert step.real is step.real
    assert len(calls) == 1


# Rule 3: gradients are restricted to the player's parameters.


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_rule_3_a_move_touches_only_its_players_gradients(registry: Registry, player: str) -> None:
    from ganforge.core.loop import _descend, _differentiate

    game, stream = make(registry)
    mover = next(p for p in game.players if p.name == player)
    other = next(p for p in game.players if p.name != player)
    before = [p.clone() for p in other.parameters]
    objective = game.objective(mover, draw_for(game, stream, player), CLOCK)
    assert objective.step.real.requires_grad
    _differentiate(mover, objective, 1)
    _descend(mover, measure=False)
    assert all(p.grad is not None for p in mover.parameters)
    assert all(p.grad is None and p.requires_grad for p in other.parameters)
    assert all(torch.equal(a, b) for a, b in zip(before, other.parameters, strict=True))


def test_rule_3_gradients_equal_those_of_a_frozen_opponent(registry: Registry) -> None:
    game, stream = make(registry)
    mover = next(p for p in game.players if p.name == "generator")
    game.objective(mover, draw_for(game, stream, "generator"), CLOCK).loss.backward(inputs=mover.parameters)
    restricted = [p.grad.clone() for p in mover.parameters if p.grad is not None]
    game.zero_grad()
    game.networks["discriminator"].requires_grad_(False)
    game.objective(mover, draw_for(game, stream, "generator"), CLOCK).loss.backward()
    frozen = [p.grad for p in mover.parameters if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(restricted, frozen, strict=True))


# Rule 4: all randomness comes from a draw.


class Noisy(Effect):
    """A trick that draws a lot, from its own stream and from torch's."""

    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        return images + 0 * draw.normal("noise", *images.shape[1:]) + 0 * torch.randn(1)


def test_rule_4_adding_a_trick_shifts_nobody_elses_stream(registry: Registry, tmp_path: Path) -> None:
    add_effect(registry, "noisy", Noisy)
    plain = train(tiny.request(), tmp_path / "plain", registry=registry)
    tricked = train(tiny.request(regularizers={"noisy": True}), tmp_path / "tricked", registry=registry)
    same_state(plain.game, tricked.game)


def test_rule_4_a_draw_is_a_pure_function_of_its_position(registry: Registry) -> None:
    game, stream = make(registry, data={"name": "tiny-pictures", "classes": 3})
    draw = draw_for(game, stream)
    keys = {
        "again": draw_for(game, stream),
        "round": draw_for(game, stream, round_=1),
        "move": draw_for(game, stream, move=1),
        "player": draw_for(game, stream, "generator"),
        "scope": draw.scoped("trick"),
    }
    z = draw.latent(game.latent)
    assert torch.equal(z, keys.pop("again").latent(game.latent))
    assert all(not torch.equal(z, other.latent(game.latent)) for other in keys.values())
    assert not torch.equal(draw.normal("a", 3), draw.normal("b", 3))


def test_rule_4_every_move_has_its_own_latents_unless_shared(registry: Registry) -> None:
    for fakes, same in (("fresh", False), ("shared", True)):
        for order in ("discriminator-first", "generator-first"):
            game, stream = make(registry, fakes=fakes, order=order)
            steps = [objective.step for objective, _ in play_round(game, stream, CLOCK)]
            assert torch.equal(steps[0].fake.detach(), steps[1].fake.detach()) is same
            assert steps[0].player.role == order.split("-")[0]


def test_rule_4_shared_judgement_gives_the_discriminator_the_same_gradient(registry: Registry) -> None:
    """Generator first with shared fakes reuses D(fake); the gradient must be that of judging them again."""
    game, stream = make(registry, fakes="shared", order="generator-first")
    first, second = game.players
    game.before_round(CLOCK)
    game.objective(first, draw_for(game, stream, first.name), CLOCK).loss.backward(
        inputs=first.parameters, retain_graph=True
    )
    objective = game.objective(second, draw_for(game, stream, second.name), CLOCK)
    objective.loss.backward(inputs=second.parameters)
    reused = [p.grad.clone() for p in second.parameters if p.grad is not None]
    game.zero_grad()
    step = Step(game, second, draw_for(game, stream, second.name), CLOCK)
    step.fake = objective.step.fake.detach()
    game.loss.discriminator(step).backward(inputs=second.parameters)
    for a, p in zip(reused, second.parameters, strict=True):
        torch.testing.assert_close(a, p.grad)


def test_rule_4_the_order_of_data_is_pure_and_covers_every_epoch(registry: Registry) -> None:
    _, stream = make(registry)
    n = len(stream.data)
    straight = np.concatenate([stream.indices("discriminator", i, 5) for i in range(24)])[: 4 * n]
    for epoch in np.split(straight, 4):
        assert sorted(epoch) == list(range(n))
    assert not np.array_equal(straight[:n], straight[n : 2 * n])
    fresh = Stream(stream.data, 0)
    np.testing.assert_array_equal(fresh.indices("discriminator", 17, 5), stream.indices("discriminator", 17, 5))
    assert not np.array_equal(fresh.indices("generator", 17, 5), stream.indices("discriminator", 17, 5))


# Rule 5: calls go through the step.


class Shift(Effect):
    def __init__(self, by: float = 1.0) -> None:
        super().__init__()
        self.by = by

    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        return images + self.by


class Double(Effect):
    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        return images * 2


def test_rule_5_views_apply_in_recipe_order_to_real_and_fake_alike(registry: Registry) -> None:
    add_effect(registry, "shift", Shift)
    add_effect(registry, "doubling", Double)
    game, stream = make(registry, regularizers={"shift": True, "doubling": True})
    step, critic = step_for(game, stream), game.networks["discriminator"]
    for critique, images in ((step.on_real, step.real), (step.on_fake, step.fake)):
        torch.testing.assert_close(critique.logits, critic((images + 1) * 2).logits)
    torch.testing.assert_close(step.critique(step.real, view=False).logits, critic(step.real).logits)


def test_rule_5_look_ahead_weights_reach_every_call_and_let_gradients_through(registry: Registry) -> None:
    game, stream = make(registry)
    critic = game.networks["discriminator"]
    scale = torch.tensor(0.5, requires_grad=True)
    step = step_for(game, stream, "generator")
    step.weights["discriminator"] = {name: p * scale for name, p in critic.named_parameters()}
    (gradient,) = torch.autograd.grad(game.loss.generator(step), scale)
    with torch.no_grad():
        for p in critic.parameters():
            p.mul_(0.5)
    torch.testing.assert_close(step.on_fake.logits, critic(step.fake).logits)
    assert gradient != 0


def test_rule_5_double_backward_survives_fp16(registry: Registry) -> None:
    """A tiny gradient penalty: without scaling of both backward passes fp16 gives zeros."""
    machine = {"device": "cpu", "threads": 1, "precision": "fp16"}
    game, stream = make(registry, machine=machine)
    with torch.no_grad():
        for p in game.networks["discriminator"].parameters():
            p.mul_(1e-2)

    def penalty_gradient(step: Step) -> Tensor:
        step.player.scaler.scale(torch.ones(()))
        step.player.scaler.update(2.0**13)
        penalty = step.gradient(step.on_real.logits.sum(), step.real).square().sum()
        step.player.scaler.scale(penalty).backward(inputs=step.player.parameters)
        gradient = step.player.parameters[0].grad
        assert gradient is not None
        return gradient.float() / step.player.scaler.get_scale()

    half = penalty_gradient(step_for(game, stream))
    full_game, _ = make(registry)
    full_game.load_state_dict(game.state_dict())
    full = penalty_gradient(step_for(full_game, stream))
    assert full.abs().max() > 0
    torch.testing.assert_close(half, full, rtol=0.05, atol=float(full.abs().max()) * 0.05)


# Rule 6 (batch statistics over all processes) is tested in test_distributed.py.


# Rule 7: networks change stage through the game.


class Staged(nn.Module):
    """A generator's stand-in whose stage is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("stage", torch.zeros((), dtype=torch.long))
        self.stage: Tensor

    def configure(self, *, stage: int) -> None:
        self.stage.fill_(stage)


class Grows(Effect):
    def attach(self, game: Game) -> None:
        game.networks["generator"].add_module("staged", Staged())
        game.networks["generator"].configure = game.networks["generator"].staged.configure  # type: ignore[assignment]

    def before_round(self, game: Game, clock: Clock) -> None:
        for holder in (game.networks, game.ema):
            holder["generator"].configure = holder["generator"].staged.configure  # type: ignore[assignment]
        game.configure("generator", stage=clock.round)


def test_rule_7_a_stage_reaches_network_average_and_checkpoint(registry: Registry, tmp_path: Path) -> None:
    add_effect(registry, "grows", Grows)
    run = train(tiny.request(regularizers={"grows": True}), tmp_path / "run", registry=registry)
    from ganforge.core import Run

    loaded = Run.load(tmp_path / "run", registry=registry)
    for game in (run.game, loaded.game):
        assert int(game.networks["generator"].staged.stage) == 3
        assert int(game.ema["generator"].staged.stage) == 3


class Adopts(Effect):
    """A head like InfoGAN's Q: a network of its own, moved by the generator, with a penalty in both roles."""

    roles = frozenset({"generator", "discriminator"})

    def attach(self, game: Game) -> None:
        game.adopt("head", nn.Linear(12, 3), "generator")

    def penalty(self, duel: Duel) -> Tensor:
        assert duel.on_fake.features is not None
        return (duel.call("head", duel.on_fake.features) - duel.step.latent).square().mean()


def test_rule_7_an_adopted_network_is_optimized_saved_and_restored(registry: Registry, tmp_path: Path) -> None:
    add_effect(registry, "adopts", Adopts)
    wanted = tiny.request(regularizers={"adopts": True}, steps=6)
    whole = train(wanted, tmp_path / "whole", registry=registry)
    train({**wanted, "steps": 2}, tmp_path / "parts", registry=registry)
    same_state(whole.game, resume(tmp_path / "parts", steps=6, registry=registry).game)
    generator = next(p for p in whole.game.players if p.name == "generator")
    head = whole.game.networks["head"]
    assert all(any(p is q for q in generator.parameters) for p in head.parameters())
    assert set(head.parameters()) <= set(generator.optimizer.state)


def test_rule_7_reset_optimizer_forgets_one_player(registry: Registry) -> None:
    game, stream = make(registry)
    play_round(game, stream, CLOCK)
    game.reset_optimizer("generator")
    states = {player.name: len(player.optimizer.state) for player in game.players}
    assert states == {"discriminator": 4, "generator": 0}


# Effects: laziness, replacement.


class Lazy(Effect):
    roles = frozenset({"discriminator"})
    every = 2

    def penalty(self, duel: Duel) -> Tensor:
        return duel.on_real.logits.sum() * 0 + 3


class Replaces(Effect):
    roles = frozenset({"generator"})
    replaces = True

    def penalty(self, duel: Duel) -> Tensor:
        return duel.fake.square().mean()


def test_lazy_penalties_are_paid_each_nth_move_times_n(registry: Registry) -> None:
    add_effect(registry, "lazy", Lazy)
    game, stream = make(registry, regularizers={"lazy": True})
    paid = []
    for round_ in range(4):
        objective = game.objective(game.players[0], draw_for(game, stream, round_=round_), CLOCK)
        paid.append(float(objective.scalars.get("penalty/lazy", torch.zeros(()))))
    assert paid == [6.0, 0.0, 6.0, 0.0]


def test_a_replacing_penalty_is_the_whole_objective(registry: Registry) -> None:
    add_effect(registry, "replaces", Replaces)
    game, stream = make(registry, regularizers={"replaces": True})
    generator = next(p for p in game.players if p.name == "generator")
    objective = game.objective(generator, draw_for(game, stream, "generator"), CLOCK)
    torch.testing.assert_close(objective.loss, objective.step.fake.square().mean())
    assert "loss/generator" not in objective.scalars


def test_ema_follows_the_closed_form(registry: Registry) -> None:
    game, stream = make(registry, ema={"decay": 0.9, "warmup": False})
    expected = [p.clone() for p in game.ema["generator"].parameters()]
    for round_ in range(3):
        play_round(game, stream, Clock(round_, 10, 0))
        expected = [0.9 * e + 0.1 * p for e, p in zip(expected, game.networks["generator"].parameters(), strict=True)]
    for e, p in zip(expected, game.ema["generator"].parameters(), strict=True):
        torch.testing.assert_close(e, p)


def test_linear_decay_ends_at_zero(registry: Registry) -> None:
    game, _ = make(registry, generator={"lr": 0.1, "lr_decay": "linear"})
    generator = next(p for p in game.players if p.name == "generator")
    rates = []
    for round_ in (0, 5, 9):
        game.before_round(Clock(round_, 10, 0))
        rates.append(generator.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.05, 0.01])


def test_config_digest_ignores_the_machine(registry: Registry) -> None:
    config, _ = resolve(tiny.request(), registry)
    moved = Config.model_validate({**config.model_dump(), "machine": {"threads": 7}})
    changed = Config.model_validate({**config.model_dump(), "seed": 1})
    assert config.digest() == moved.digest() != changed.digest()


def test_an_objective_holds_detached_scalars(registry: Registry) -> None:
    game, stream = make(registry)
    objective: Objective = game.objective(game.players[0], draw_for(game, stream), CLOCK)
    assert objective.scalars
    assert all(not value.requires_grad for value in objective.scalars.values())


class Counting(Effect):
    """Counts the moves in a buffer and logs the count."""

    moves: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("moves", torch.zeros(()))

    def scalars(self, step: Step) -> dict[str, Tensor]:
        return {"moves": self.moves}

    def after_step(self, step: Step) -> None:
        self.moves.add_(1)


def test_losses_and_effects_log_figures_of_the_move_as_they_were_before_it_changed_them(registry: Registry) -> None:
    game, stream = make(registry)
    game.effects["counting"] = counting = Counting()
    objective = game.objective(game.players[0], draw_for(game, stream), CLOCK)
    game.after_step(objective.step)
    assert objective.scalars["counting/moves"] == 0
    assert counting.moves == 1


def test_options_model_is_the_default(registry: Registry) -> None:
    assert registry.find("recipe", "tiny").options is Options


# A batch in pieces.


@pytest.mark.parametrize("pieces", [2, 4])
def test_a_batch_computed_in_pieces_is_the_same_batch(registry: Registry, tmp_path: Path, pieces: int) -> None:
    settings = {"batch_size": 8, "steps": 6, "every": 6, "data": {"name": "tiny-pictures", "classes": 3}}
    whole = train(tiny.request(**settings), tmp_path / "whole", registry=registry)
    cut = train(tiny.request(**settings, accumulate=pieces), tmp_path / "cut", registry=registry)
    np.testing.assert_allclose(whole.sample(8, seed=1), cut.sample(8, seed=1), atol=1e-5)
    assert len({json.loads(line)["round"] for line in (tmp_path / "cut/metrics.jsonl").read_text().splitlines()}) == 6


def test_pieces_must_divide_the_batch_and_cannot_share_fakes(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match="batch size 4 does not divide among 3 pieces"):
        train(tiny.request(accumulate=3), tmp_path / "run", registry=registry)
    with pytest.raises(GanforgeError, match="fakes can be shared only in whole batches"):
        train(tiny.request(accumulate=2, fakes="shared"), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
