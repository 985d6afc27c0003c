"""DRAGAN: the penalty in closed form, where its points lie, and the recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_games import Critic, assert_resumes_exactly, linear_critic, make_game, make_step, points, resolved
from torch import Tensor, nn
from two_processes import Shared, in_two

from ganforge.core.game import Step
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.dragan import DraganOptions
from ganforge.plugins.papers.dragan.penalty import Dragan, std


def dragan(**options: float) -> Dragan:
    return Dragan(parse(DraganOptions, options))


@pytest.mark.parametrize(
    ("weight", "options", "expected"),
    [
        ([3.0, 4.0], {}, 10 * (5 - 1) ** 2),
        ([3.0, 4.0], {"weight": 0.1}, 0.1 * (5 - 1) ** 2),
        ([3.0, 4.0], {"target": 5.0}, 0),
        ([0.3, 0.4], {}, 10 * (0.5 - 1) ** 2),
        ([0.0, 0.0], {}, 10),
    ],
)
def test_on_a_linear_critic_the_norm_is_known(weight: list[float], options: dict[str, float], expected: float) -> None:
    effect = dragan(**options)
    penalty = effect.penalty(make_step(make_game(linear_critic(weight), dragan=effect)))
    assert penalty.item() == pytest.approx(expected, abs=1e-5)


def watched(n: int, **options: float) -> tuple[Step, Tensor, Tensor]:
    """A step on n points, the points at which the penalty asked its critic, and the penalty."""
    seen: list[Tensor] = []

    def quadratic(critic: Critic, x: Tensor) -> Tensor:
        seen.append(x.detach())
        return (critic.scale.weight[0, 0] * x.square()).sum(dim=1) / 2

    game = make_game(Critic(quadratic, scale=nn.Linear(1, 1)), dragan=dragan(**options))
    step = make_step(game, reals=points(n))
    penalty = game.effects["dragan"].penalty(step)
    (near,) = seen
    return step, near, penalty


def test_on_a_quadratic_critic_the_gradient_is_at_the_perturbed_points() -> None:
    step, near, penalty = watched(6)
    slope = step.game.networks["discriminator"].scale.weight[0, 0]
    expected = 10 * ((slope * near).norm(dim=1) - 1).square().mean()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-5)
    assert not torch.isclose(near, step.real).any()


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_the_points_lie_a_random_share_of_uniform_noise_away(noise: float) -> None:
    """With α for a sample and u for a value: E αu = 1/4, E (αu)² = 1/9, and E αu₁ αu₂ = 1/12, not 1/16."""
    step, near, _ = watched(40_000, noise=noise)
    away = (near - step.real.detach()) / (noise * step.real.detach().numpy().std())
    assert away.min() > -1e-3
    assert 0.95 < away.max() < 1.001
    assert away.mean(dim=0).tolist() == pytest.approx([1 / 4, 1 / 4], abs=0.005)
    assert away.square().mean(dim=0).tolist() == pytest.approx([1 / 9, 1 / 9], abs=0.005)
    assert away.prod(dim=1).mean().item() == pytest.approx(1 / 12, abs=0.005)


def test_the_deviation_is_over_all_values_of_the_batch_of_all_processes() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(3, 2, (8, 1, 5, 5)).astype(np.float32))
    x[0] += 10
    whole = std(make_step(make_game(linear_critic([1.0, 1.0]))), x)
    assert whole.item() == pytest.approx(x.numpy().std(), rel=1e-5)
    halves = in_two(lambda rank, mean: std(Shared(mean), x[4 * rank : 4 * rank + 4]))
    assert [half.item() for half in halves] == pytest.approx([whole.item()] * 2, rel=1e-5)


def test_the_recipe_is_the_authors(registry: Registry) -> None:
    config = resolved(registry, "dragan", "digits")
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas, player.moves) == ("adam", 1e-4, (0.5, 0.9), 1)
    assert config.regularizers == {"dragan": {"weight": 10.0, "target": 1.0, "noise": 0.5}}
    assert (config.loss.name, config.batch_size) == ("non-saturating", 128)
    assert (config.latent.name, config.latent.dim) == ("uniform", 100)
    assert config.architecture.values["discriminator_norm"] == "none"


@pytest.mark.parametrize(
    "data",
    [("digits", "architecture.width=4"), ("digits", "architecture.width=4", "conditioning=projection"), ("ring",)],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "dragan", *data)
    critic = run.game.networks["discriminator"]
    assert not [module for module in critic.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
