"""R1 and R2 in closed form, and when they are paid; instance noise: on whom, how much, disturbing nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_games import (
    ROUNDS,
    Critic,
    assert_resumes_exactly,
    linear_critic,
    make_game,
    make_step,
    move,
    player,
    points,
)
from torch import Tensor, nn

from ganforge.core import GanforgeError
from ganforge.core.game import Critique, Effect, Step
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.wgan.losses import Wasserstein
from ganforge.plugins.tricks.instance_noise import InstanceNoiseOptions
from ganforge.plugins.tricks.instance_noise.noise import InstanceNoise
from ganforge.plugins.tricks.zero_centred_penalty import ZeroCentredOptions
from ganforge.plugins.tricks.zero_centred_penalty.penalty import R1, R2

A = torch.tensor([[2.0, 0.5], [0.5, 1.0]])


class Quadratic(nn.Module):
    """D(x) = ½ xᵀAx, whose gradient is Ax."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(A.clone())
        self.calls = 0

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        self.calls += 1
        return Critique(0.5 * ((x @ self.a) * x).sum(dim=1))


def zero_centred(kind: type[R1] | type[R2], **options: float) -> R1 | R2:
    return kind(parse(ZeroCentredOptions, options))


def noise(**options: float) -> InstanceNoise:
    return InstanceNoise(parse(InstanceNoiseOptions, options))


# R1 and R2.


@pytest.mark.parametrize(("options", "gamma"), [({}, 10.0), ({"gamma": 3.0}, 3.0)])
@pytest.mark.parametrize(("kind", "where"), [(R1, "real"), (R2, "fake")])
def test_on_a_quadratic_critic_the_penalty_is_known(
    kind: type[R1], where: str, options: dict[str, float], gamma: float
) -> None:
    effect = zero_centred(kind, **options)
    step = make_step(make_game(Quadratic(), penalty=effect))
    expected = gamma / 2 * (getattr(step, where) @ A).square().sum(dim=1).mean()
    assert effect.penalty(step).item() == pytest.approx(expected.item(), rel=1e-5)


def test_r1s_gradient_is_the_closed_forms() -> None:
    """d/dA γ/2 E‖½(A + Aᵀ)x‖²: with symmetric A and S = E xxᵀ, γ/2 (AS + SA)."""
    effect, critic = zero_centred(R1), Quadratic()
    step = make_step(make_game(critic, penalty=effect))
    effect.penalty(step).backward()
    second = step.real.detach().T @ step.real.detach() / len(step.real)
    assert torch.allclose(critic.a.grad, 5 * (A @ second + second @ A), rtol=1e-4)


def test_both_share_the_losss_forward_passes() -> None:
    critic = Quadratic()
    move(make_game(critic, Wasserstein(), r1=zero_centred(R1), r2=zero_centred(R2)))
    assert critic.calls == 2


def test_a_lazy_penalty_is_paid_rarely_and_as_much() -> None:
    game = make_game(linear_critic([3.0, 4.0]), Wasserstein(), r1=zero_centred(R1, gamma=2.0, every=4))
    paid = []
    for round_ in range(8):
        step = make_step(game, round=round_)
        objective = game.objective(player(game, "discriminator"), step.draw, step.clock)
        paid.append(objective.scalars.get("penalty/r1", torch.tensor(0.0)).item())
    assert paid == pytest.approx([4 * 25, 0, 0, 0, 4 * 25, 0, 0, 0])


def test_the_generator_pays_nothing() -> None:
    game = make_game(linear_critic([3.0, 4.0]), Wasserstein(), r1=zero_centred(R1), r2=zero_centred(R2))
    step = make_step(game, "generator")
    scalars = game.objective(player(game, "generator"), step.draw, step.clock).scalars
    assert not [name for name in scalars if name.startswith("penalty")]


# Instance noise.


def watched(**effects: Effect) -> tuple[Step, dict[str, Tensor]]:
    """A step on many points whose critic keeps what it saw of reals and of fakes."""
    seen: list[Tensor] = []

    def watch(critic: Critic, x: Tensor) -> Tensor:
        seen.append(x.detach())
        return critic.layer(x).flatten()

    game = make_game(Critic(watch, layer=nn.Linear(2, 1)), **effects)
    step = make_step(game, round=20, reals=points(4000))
    _ = step.on_real, step.on_fake
    return step, {"real": seen[0], "fake": seen[1]}


def test_reals_and_fakes_get_noise_of_the_same_size_and_each_its_own() -> None:
    step, seen = watched(noise=noise(sigma=0.5))
    added = {name: seen[name] - getattr(step, name).detach() for name in seen}
    sigma = 0.5 * (1 - 20 / ROUNDS)
    for values in added.values():
        assert values.std().item() == pytest.approx(sigma, rel=0.05)
        assert abs(values.mean().item()) < 0.02
    both = torch.stack([added["real"].flatten(), added["fake"].flatten()])
    assert abs(torch.corrcoef(both)[0, 1].item()) < 0.05


def test_noise_falls_on_a_line_to_exactly_nothing() -> None:
    effect = noise(sigma=0.2, until=0.5)
    step = make_step(make_game(linear_critic([1.0, 1.0]), noise=effect))
    clock = step.clock
    sigmas = [effect.sigma(type(clock)(round_, ROUNDS, 0)) for round_ in (0, 25, 49, 50, 75, 99)]
    assert sigmas == pytest.approx([0.2, 0.1, 0.2 / 50, 0, 0, 0])
    x = torch.randn(6, 2)
    assert effect.view(x, step.draw, type(clock)(50, ROUNDS, 0)) is x
    assert not torch.equal(effect.view(x, step.draw, type(clock)(49, ROUNDS, 0)), x)


def test_noise_is_a_function_of_the_position() -> None:
    (_, first), (_, again) = watched(noise=noise()), watched(noise=noise())
    assert all(torch.equal(first[name], again[name]) for name in first)
    game = make_game(linear_critic([1.0, 1.0]), noise=noise(sigma=1.0))
    x = torch.zeros(6, 2)
    steps = [make_step(game, round=round_) for round_ in (0, 1)]
    sigmas = [game.effects["noise"].sigma(step.clock) for step in steps]
    early, late = [game.view(x, step, "real") / sigma for step, sigma in zip(steps, sigmas, strict=True)]
    assert (early - late).abs().max() > 0.1


def test_noise_shifts_nobody_elses_draws() -> None:
    (plain, _), (noisy, _) = watched(), watched(noise=noise())
    assert torch.equal(plain.latent, noisy.latent)
    assert torch.equal(plain.real, noisy.real)
    assert torch.equal(plain.fake, noisy.fake)


def test_the_generator_learns_through_the_noise() -> None:
    game = make_game(linear_critic([3.0, 4.0]), Wasserstein(), noise=noise(sigma=0.5))
    move(game, "generator")
    bias = game.networks["generator"].layer.bias
    assert bias.grad.tolist() == pytest.approx([-3, -4])


@pytest.mark.parametrize(("key", "value"), [("sigma", -0.1), ("until", 0.0), ("until", 1.5)])
def test_senseless_noise_is_refused(key: str, value: float) -> None:
    with pytest.raises(GanforgeError, match=f"option '{key}': input should be .* not {value}"):
        noise(**{key: value})


def test_training_with_all_tricks_resumes_exactly(registry: Registry, tmp_path: Path) -> None:
    run = assert_resumes_exactly(
        registry,
        tmp_path,
        "vanilla",
        "ring",
        "regularizers.r1={every=2}",
        "regularizers.r2=true",
        "regularizers.instance-noise={until=0.5}",
    )
    assert run.config.regularizers["r1"] == {"gamma": 10.0, "every": 2}
    assert np.isfinite(run.sample(8)).all()
