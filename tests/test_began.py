"""BEGAN: the balance and its measure by hand, the networks of figure 1, the recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_games import Critic, assert_resumes_exactly, make_game, make_step, move, resolved, said
from torch import nn
from torch.nn.functional import l1_loss

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.game import AdversarialGame, Networks
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.began import BeganOptions, EquilibriumOptions
from ganforge.plugins.papers.began.losses import Equilibrium
from ganforge.plugins.papers.began.networks import build


def loss(k: float = 0.0, **options: float) -> Equilibrium:
    module = Equilibrium(parse(EquilibriumOptions, options))
    module.k.fill_(k)
    return module


def game_of(module: Equilibrium) -> AdversarialGame:
    """A game whose critic's error is a distance to a learned point."""
    critic = Critic(lambda critic, x: (critic.layer(x)).abs().mean(dim=1), layer=nn.Linear(2, 2))
    return make_game(critic, module)


def networks(side: int, channels: int = 1, *, width: int = 4, code: int = 6, latent: int = 5) -> Networks:
    options = parse(BeganOptions, {"width": width, "code": code})
    return build(options, Built(data=DataSpec(shape=(channels, side, side)), latent=Latent(dim=latent)))


def convolutions(module: nn.Module) -> list[tuple[int, int, int]]:
    found = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.kernel_size == (3, 3) for m in found)
    return [(m.in_channels, m.out_channels, m.stride[0]) for m in found]


# The balance.


def test_the_losses_by_hand() -> None:
    duel = said([1.0, 3.0], [4.0, 2.0])
    assert loss(0.25).discriminator(duel).item() == pytest.approx(2 - 0.25 * 3)
    assert loss(0.25).generator(duel).item() == pytest.approx(3)


def test_k_starts_at_zero_so_that_d_first_learns_to_reconstruct() -> None:
    assert Equilibrium(EquilibriumOptions()).k == 0
    assert loss().discriminator(said([1.0], [100.0])).item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("k", "real", "fake", "expected"),
    [
        (0.2, 2.0, 0.5, 0.2 + 0.01 * (0.6 * 2.0 - 0.5)),
        (0.2, 1.0, 3.0, 0.2 + 0.01 * (0.6 * 1.0 - 3.0)),
        (0.2, 1.0, 0.6, 0.2),
        (0.0, 1.0, 3.0, 0.0),
        (1.0, 9.0, 0.0, 1.0),
    ],
)
def test_k_follows_proportional_control(k: float, real: float, fake: float, expected: float) -> None:
    module = loss(k, gamma=0.6, rate=0.01)
    game = game_of(module)
    step = make_step(game)
    step.on_real, step.on_fake = said(torch.full((4,), real), torch.full((6,), fake))
    game.after_step(step)
    assert module.k.item() == pytest.approx(expected)


def test_k_moves_after_the_discriminators_move_only_by_that_moves_errors() -> None:
    module = loss(0.5, rate=0.1)
    game = game_of(module)
    move(game, "generator")
    assert module.k == 0.5
    step = move(game)
    moved = 0.5 + 0.1 * (0.5 * step.on_real.logits.mean() - step.on_fake.logits.mean())
    assert module.k.item() == pytest.approx(moved.item())


@pytest.mark.parametrize(("fake", "expected"), [(1.0, 2.0), (0.25, 2.75), (1.75, 2.75)])
def test_the_measure_is_the_error_and_the_distance_from_balance(fake: float, expected: float) -> None:
    game = game_of(loss(0.3, gamma=0.5))
    step = make_step(game)
    step.on_real, step.on_fake = said([2.0, 2.0], [fake, fake])
    figures = game.loss.scalars(step)
    assert figures["convergence"].item() == pytest.approx(expected)
    assert figures["k"].item() == pytest.approx(0.3)
    assert game.loss.scalars(make_step(game, "generator")) == {}


# The networks.


def test_at_64_the_networks_are_figure_1() -> None:
    made = networks(64, 3, width=8)
    n = 8
    maps = [(3, n, 1), (n, n, 1), (n, n, 1)]
    for i in (1, 2, 3):
        maps += [(i * n, (i + 1) * n, 2), ((i + 1) * n, (i + 1) * n, 1), ((i + 1) * n, (i + 1) * n, 1)]
    assert convolutions(made.discriminator.encoder) == maps
    back = [(n, n, 1)] * 8 + [(n, 3, 1)]
    assert convolutions(made.discriminator.decoder) == convolutions(made.generator) == back
    assert made.discriminator.encoder[-1].in_features == 4 * n * 8 * 8
    assert [m.mode for m in made.generator.modules() if isinstance(m, nn.Upsample)] == ["nearest"] * 3


@pytest.mark.parametrize("side", [16, 28, 32, 64, 128, 256])
def test_every_size_fits(side: int) -> None:
    made = networks(side, width=1)
    images = made.generator(torch.zeros(2, 5)).images
    assert images.shape == (2, 1, side, side)
    critique = made.discriminator(images)
    assert critique.logits.shape == (2,)
    assert critique.features.shape == (2, 6)


def test_the_error_is_the_mean_absolute_one_of_each_sample() -> None:
    discriminator = networks(16).discriminator
    x = torch.rand(3, 1, 16, 16) * 2 - 1
    critique = discriminator(x)
    for i in range(3):
        expected = l1_loss(critique.aux["reconstruction"][i], x[i])
        assert critique.logits[i].item() == pytest.approx(expected.item(), rel=1e-5)


def test_points_and_other_sizes_are_refused_in_a_sentence(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="architecture 'began' cannot build 8×8"):
        networks(8)
    with pytest.raises(GanforgeError, match="recipe 'began' makes images"):
        resolved(registry, "began", "ring")
    with pytest.raises(GanforgeError, match="architecture 'began' builds images"):
        build(BeganOptions(), Built(data=DataSpec(shape=(2,)), latent=Latent(dim=2)))


# The recipe.


def test_the_recipe_has_the_papers_numbers_from_64_on(registry: Registry) -> None:
    config = resolved(registry, "began", "digits", "data.resolution=64")
    assert config.loss.values == {"gamma": 0.5, "rate": 1e-3}
    assert config.architecture.values == {"width": 64, "code": 64}
    assert (config.latent.name, config.latent.dim, config.batch_size) == ("uniform", 64, 16)
    assert (config.generator.lr, config.discriminator.lr) == (1e-4, 1e-4)


def test_a_small_image_has_a_small_code(registry: Registry) -> None:
    config = resolved(registry, "began", "digits")
    assert config.architecture.values["code"] == config.latent.dim == 16


def test_training_resumes_exactly_and_logs_k_and_the_measure(registry: Registry, tmp_path: Path) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "began", "digits", "architecture.width=2", "loss.rate=0.5")
    assert 0 < run.game.loss.state_dict()["k"] <= 1
    lines = [json.loads(line) for line in (tmp_path / "again" / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        measure = line["d_real"] + abs(line["d_real"] - line["d_fake"])  # γ is 1 for digits
        assert line["equilibrium/convergence"] == pytest.approx(measure, rel=1e-4)
    assert lines[0]["equilibrium/k"] == 0
    assert lines[1]["equilibrium/k"] == pytest.approx(0.5 * (lines[0]["d_real"] - lines[0]["d_fake"]), rel=1e-4)
