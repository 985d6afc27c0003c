"""GMAN: the aggregates and their gradients, each discriminator's own loss and penalties, and the recipe."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import (
    assert_resumes_exactly,
    linear_critic,
    make_game,
    make_step,
    mlp_critic,
    move,
    player,
    resolved,
)
from torch import Tensor, nn

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.config import Component
from ganforge.core.game import AdversarialGame, Effect, LossModule, Networks, Parts
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.papers.gman.game import GmanGame, Sharpness, soft
from ganforge.plugins.papers.sngan.losses import Hinge
from ganforge.plugins.papers.vanilla import CrossEntropyOptions
from ganforge.plugins.papers.vanilla.losses import Minimax
from ganforge.plugins.papers.wgan.losses import Wasserstein
from ganforge.plugins.papers.wgan_gp import PenaltyOptions
from ganforge.plugins.papers.wgan_gp.penalty import GradientPenalty

MINIMAX = Minimax(CrossEntropyOptions())
SLOPES = [[1.0, 2.0], [-3.0, 0.5], [0.3, 0.4]]


def gman(
    critics: list[nn.Module], loss: LossModule = MINIMAX, *, game: type[GmanGame] = GmanGame, **options: Any
) -> GmanGame:
    """A small game of the given discriminators."""
    effects: dict[str, Effect] = options.pop("effects", {})
    usual = make_game(critics[0])
    recipe = Component(name="gman", discriminators=len(critics), **options)
    others = iter(critics[1:])

    def build(data: DataSpec, changed: Any) -> Networks:
        return Networks(nn.Identity(), next(others))

    config = usual.config.model_copy(update={"recipe": recipe})
    networks = Networks(usual.networks["generator"], critics[0])
    return GmanGame(Parts(config, usual.data, networks, loss, effects, usual.device, build))


def linear(**options: Any) -> GmanGame:
    return gman([linear_critic(slope) for slope in SLOPES], Wasserstein(), **options)


def generator_losses(game: GmanGame) -> tuple[Tensor, Tensor]:
    """What the generator minimises, and its loss against each linear critic: minus the mean of its logits."""
    step = make_step(game, "generator")
    step = game.make_step(step.player, step.draw, step.clock)
    objective = game.objective(step.player, step.draw, step.clock)
    return objective.loss.detach(), -(step.fake @ torch.tensor(SLOPES).T).mean(dim=0).detach()


# The aggregates.


def test_the_softmax_lies_between_mean_and_maximum() -> None:
    losses = torch.tensor([-1.0, 0.5, 2.0])
    assert soft(losses, 0.0).item() == pytest.approx(losses.mean().item())
    weights = [math.exp(0.7 * loss) for loss in (-1.0, 0.5, 2.0)]
    by_hand = (-weights[0] + 0.5 * weights[1] + 2 * weights[2]) / sum(weights)
    assert soft(losses, 0.7).item() == pytest.approx(by_hand, rel=1e-6)
    assert soft(losses, 100.0).item() == pytest.approx(2.0)


def test_gradients_go_through_the_weights_too() -> None:
    """∂F/∂Lᵢ = wᵢ (1 + λ (Lᵢ - F)) and ∂F/∂λ = Σ wᵢ Lᵢ² - F²."""
    losses, sharpness = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True), torch.tensor(0.7, requires_grad=True)
    value = soft(losses, sharpness)
    by_losses, by_sharpness = torch.autograd.grad(value, (losses, sharpness))
    weights = torch.softmax(0.7 * losses.detach(), 0)
    assert torch.allclose(by_losses, weights * (1 + 0.7 * (losses.detach() - value.detach())))
    assert by_sharpness.item() == pytest.approx(((weights * losses.detach() ** 2).sum() - value.detach() ** 2).item())


@pytest.mark.parametrize(
    ("options", "aggregated"),
    [
        ({"aggregate": "mean"}, lambda losses: losses.mean()),
        ({"aggregate": "max"}, lambda losses: losses.max()),
        ({"aggregate": "softmax", "sharpness": 2.0}, lambda losses: soft(losses, 2.0)),
        ({"aggregate": "learned", "sharpness": 2.0, "reward": 0.1}, lambda losses: soft(losses, 2.0) - 0.1 * 2.0),
    ],
)
def test_the_generator_minimises_the_aggregate_of_its_losses(options: dict[str, Any], aggregated: Any) -> None:
    loss, losses = generator_losses(linear(**options))
    assert loss.item() == pytest.approx(aggregated(losses).item(), rel=1e-5)


def test_the_maximum_follows_the_harshest_discriminator_alone() -> None:
    game = linear(aggregate="max")
    harshest = SLOPES[int(generator_losses(game)[1].argmax())]
    move(game, "generator")
    assert game.networks["generator"].layer.bias.grad.tolist() == pytest.approx([-slope for slope in harshest])


@pytest.mark.parametrize("start", [0.01, 1.0, 20.0])
def test_a_learned_sharpness_starts_where_it_is_told(start: float) -> None:
    assert Sharpness(start)().item() == pytest.approx(start, rel=1e-4)


def test_the_generator_moves_a_learned_sharpness_and_no_discriminator_does() -> None:
    """A smaller λ weighs the harshest less, so without a reward λ falls; a large reward makes it rise."""
    for reward, rises in ((0.0, False), (1e3, True)):
        game = linear(aggregate="learned", reward=reward)
        before = game.networks["sharpness"]().item()
        move(game, "discriminator")
        assert game.networks["sharpness"]().item() == before
        move(game, "generator")
        assert (game.networks["sharpness"]().item() > before) == rises


# The discriminators.


@pytest.mark.parametrize("loss", [MINIMAX, Hinge(), Wasserstein()])
def test_each_discriminator_moves_as_it_would_alone(loss: LossModule) -> None:
    critics = [mlp_critic(), mlp_critic(activation=nn.Tanh), linear_critic([1.0, 2.0])]
    effect = GradientPenalty(PenaltyOptions())
    together = gman([copy.deepcopy(critic) for critic in critics], loss, effects={"gp": effect})
    alone = [make_game(copy.deepcopy(critic), loss, gp=effect) for critic in critics]
    for round_ in range(3):
        for game in (together, *alone):
            move(game, "discriminator", round=round_)
    for name, game in zip(together.critics, alone, strict=True):
        expected = game.networks["discriminator"].parameters()
        for found, wanted in zip(together.networks[name].parameters(), expected, strict=True):
            assert torch.allclose(found, wanted, atol=1e-7)


def test_a_gradient_penalty_is_each_critics_own() -> None:
    """Of one critic with three logits it would be that of the sum of their slopes."""
    effect = GradientPenalty(PenaltyOptions(weight=1.0))
    game = linear(effects={"gp": effect})
    step = make_step(game)
    step = game.make_step(step.player, step.draw, step.clock)
    found = game.objective(step.player, step.draw, step.clock).scalars["penalty/gp"]
    assert found.item() == pytest.approx(sum((math.hypot(*slope) - 1) ** 2 for slope in SLOPES), rel=1e-4)


def test_all_discriminators_judge_the_same_samples() -> None:
    game = linear()
    step = make_step(game)
    step = game.make_step(step.player, step.draw, step.clock)
    assert [duel.critic for duel in step.duels] == ["discriminator", "discriminator-2", "discriminator-3"]
    assert all(duel.real is step.real and duel.fake is step.fake for duel in step.duels)
    assert player(game, "discriminator").networks == game.critics
    assert player(game, "generator").networks == ["generator"]


def test_one_discriminator_is_the_plain_game() -> None:
    for aggregate in ("mean", "max", "softmax"):
        plain, game = make_game(mlp_critic(), MINIMAX), gman([mlp_critic()], aggregate=aggregate)
        for role in ("discriminator", "generator", "discriminator"):
            move(plain, role)
            move(game, role)
        expected, found = plain.state_dict(), game.state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


# The recipe.


def built(registry: Registry, data: str, *settings: str) -> AdversarialGame:
    shape = (2,) if data == "ring" else (1, 16, 16)
    game = build_game(resolved(registry, "gman", data, *settings), DataSpec(shape=shape), registry)
    assert isinstance(game, AdversarialGame)
    return game


def test_discriminators_start_apart_and_may_differ_in_size(registry: Registry) -> None:
    members = "recipe.members=[{}, {width = 4}, {width = 2, discriminator_norm = 'batch'}]"
    game = built(registry, "digits", "architecture.width=8", "recipe.discriminators=4", members)
    widths = [game.networks[name].features[0].out_channels for name in game.critics]
    assert widths == [8, 4, 2, 8]
    norms = [any(isinstance(m, nn.BatchNorm2d) for m in game.networks[name].modules()) for name in game.critics]
    assert norms == [False, False, True, False]
    first, last = game.networks["discriminator"], game.networks["discriminator-4"]
    assert not torch.equal(first.logits.weight, last.logits.weight)
    generator = built(registry, "digits", "architecture.width=8").networks["generator"]
    assert torch.equal(game.networks["generator"].project.weight, generator.project.weight)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ["recipe.discriminators=1", "recipe.members=[{width = 4}, {}]"],
            "option 'recipe': members describes 2 of 1 discriminators",
        ),
        (
            ["recipe.aggregate=learned", "recipe.sharpness=0"],
            "option 'recipe': aggregate=learned starts from a sharpness above 0",
        ),
        (["recipe.members=[{depth = 4}]"], "unknown option 'architecture.depth'"),
    ],
)
def test_what_does_not_fit_is_said(registry: Registry, settings: list[str], sentence: str) -> None:
    with pytest.raises(GanforgeError) as error:
        built(registry, "digits", *settings)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("ring", ("recipe.aggregate=learned", "recipe.discriminators=2")),
        ("ring", ("loss=wasserstein", "regularizers.gradient-penalty=true", "recipe.aggregate=max")),
        ("ring", ("fakes=shared", "regularizers.spectral-norm=true", "recipe.aggregate=mean")),
        (
            "digits",
            ("architecture.width=4", "recipe.members=[{}, {width = 2}]", "discriminator.conditioning=projection"),
        ),
    ],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: str, settings: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "gman", data, *settings)
