"""WGAN-GP: equation 3 in closed form and against finite differences, Algorithm 1's numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import (
    Critic,
    assert_resumes_exactly,
    linear_critic,
    make_game,
    make_step,
    mlp_critic,
    player,
    resolved,
)
from torch import Tensor, nn

from ganforge.core import GanforgeError
from ganforge.core.config import parse_settings, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import AdversarialGame, Clock
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.papers.wgan_gp import PenaltyOptions
from ganforge.plugins.papers.wgan_gp.penalty import GradientPenalty


def penalty_of(critic: nn.Module, **options: float) -> Tensor:
    effect = GradientPenalty(parse(PenaltyOptions, options))
    return effect.penalty(make_step(make_game(critic, gp=effect)))


@pytest.mark.parametrize(
    ("weight", "options", "expected"),
    [
        ([3.0, 4.0], {}, 10 * (5 - 1) ** 2),
        ([3.0, 4.0], {"weight": 0.1}, 0.1 * (5 - 1) ** 2),
        ([3.0, 4.0], {"target": 5.0}, 0),
        ([3.0, 4.0], {"target": 0.0}, 10 * 5**2),
        ([0.3, 0.4], {}, 10 * (0.5 - 1) ** 2),
        ([0.3, 0.4], {"one_sided": True}, 0),
        ([3.0, 4.0], {"one_sided": True}, 10 * (5 - 1) ** 2),
        ([0.0, 0.0], {}, 10),
    ],
)
def test_on_a_linear_critic_the_norm_is_known(weight: list[float], options: dict[str, float], expected: float) -> None:
    assert penalty_of(linear_critic(weight), **options).item() == pytest.approx(expected, abs=1e-5)


def test_a_critic_without_a_slope_gets_finite_gradients() -> None:
    critic = linear_critic([0.0, 0.0])
    penalty_of(critic).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in critic.parameters())


def test_the_points_lie_on_straight_lines_each_at_its_own_share() -> None:
    seen: list[Tensor] = []

    def watch(critic: Critic, x: Tensor) -> Tensor:
        seen.append(x.detach())
        return critic.layer(x).flatten()

    game = make_game(Critic(watch, layer=nn.Linear(2, 1)), gp=GradientPenalty(PenaltyOptions()))
    step = make_step(game)
    game.effects["gp"].penalty(step)
    (between,) = seen
    shares = (between - step.fake) / (step.real - step.fake)
    assert torch.allclose(shares[:, 0], shares[:, 1], atol=1e-4)
    assert (shares > 0).all()
    assert (shares < 1).all()
    assert len({round(share, 3) for share in shares[:, 0].tolist()}) == len(shares)


def test_pairs_are_of_one_class(registry: Registry) -> None:
    narrow = ("architecture.width=4", "batch_size=16", "conditioning=projection")
    steps = {recipe: first_step(registry, recipe, *narrow) for recipe in ("wgan-gp", "dcgan")}
    paired, drawn = (steps[recipe] for recipe in ("wgan-gp", "dcgan"))
    assert paired.fake_labels.tolist() == paired.real_labels.tolist()
    assert len(set(paired.real_labels.tolist())) > 2
    assert drawn.fake_labels.tolist() != drawn.real_labels.tolist()


def test_shared_fakes_of_other_classes_are_refused(registry: Registry) -> None:
    settings = ("architecture.width=4", "conditioning=projection", "fakes=shared", "order=generator-first")
    with pytest.raises(GanforgeError, match="only with order=discriminator-first"):
        first_step(registry, "wgan-gp", *settings)


def first_step(registry: Registry, recipe: str, *settings: str) -> Any:
    """The discriminator's first move on digits."""
    request = {"recipe": recipe, "data": "digits", **parse_settings(settings)}
    config, data = resolve(request, registry)
    game = build_game(config, data.spec, registry)
    assert isinstance(game, AdversarialGame)
    mover = player(game, "discriminator")
    draw = Draw(0, 0, mover.name, 0, config.batch_size, game.device, Stream(data, 0), 0)
    return game.make_step(mover, draw, Clock(0, 1, 0))


def test_double_backward_is_the_finite_difference() -> None:
    """d penalty / d weights, against central differences of the same penalty in float64."""
    points: list[Tensor] = []
    critic = mlp_critic()
    hook = critic.register_forward_pre_hook(lambda module, args: points.append(args[0].detach().double()))
    penalty_of(critic).backward()
    hook.remove()
    # The last bias does not enter the slope: no gradient.
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in critic.parameters()]
    gradient = torch.nn.utils.parameters_to_vector(gradients).double()
    exact = copy.deepcopy(critic).double()
    weights = torch.nn.utils.parameters_to_vector(exact.parameters()).detach()

    def value(at: Tensor) -> float:
        torch.nn.utils.vector_to_parameters(at, exact.parameters())
        x = points[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(exact(x).logits.sum(), x)
        return (10 * (slope.norm(dim=1) - 1).square().mean()).item()

    steps = 1e-5 * torch.eye(len(weights), dtype=torch.float64)
    differences = [(value(weights + step) - value(weights - step)) / 2e-5 for step in steps]
    assert max(differences) > 0.1
    assert gradient.tolist() == pytest.approx(differences, rel=1e-3, abs=1e-4)


def test_the_recipe_is_algorithm_1(registry: Registry) -> None:
    config = resolved(registry, "wgan-gp", "digits")
    for mover in (config.generator, config.discriminator):
        assert (mover.optimizer, mover.lr, mover.betas) == ("adam", 1e-4, (0.0, 0.9))
        assert mover.lr_decay == "none"
    assert (config.discriminator.moves, config.generator.moves, config.batch_size) == (5, 1, 64)
    assert config.regularizers == {"gradient-penalty": {"weight": 10.0, "target": 1.0, "one_sided": False}}
    assert (config.loss.name, config.architecture.name) == ("wasserstein", "dcgan")
    assert config.architecture.values["discriminator_norm"] == "none"


@pytest.mark.parametrize("data", [("digits", "architecture.width=4"), ("ring",)])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "wgan-gp", *data)
    critic = run.game.networks["discriminator"]
    assert not [module for module in critic.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
