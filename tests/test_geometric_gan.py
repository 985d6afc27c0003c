"""Geometric GAN: the generator moves along the normal, the support vectors are all D learns from; the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import assert_resumes_exactly, linear_critic, make_game, make_step, move, resolved
from torch.nn.utils import parametrize

from ganforge.core.registry import Registry
from ganforge.plugins.papers.sngan.losses import Hinge


def test_the_generator_moves_along_the_hyperplanes_normal() -> None:
    game = make_game(linear_critic([3.0, -4.0]), Hinge())
    move(game, "generator")
    assert game.networks["generator"].layer.bias.grad.tolist() == pytest.approx([-3, 4])


def test_the_discriminator_learns_from_its_support_vectors_alone() -> None:
    """w's gradient is what the fakes within the margin, or on its wrong side, have more of than such reals."""
    game = make_game(linear_critic([0.4, 0.9]), Hinge())
    step = make_step(game)
    loss = game.loss.discriminator(step)
    critic = game.networks["discriminator"].layer.weight
    real, fake = step.real.detach(), step.fake.detach()
    wanted_real, wanted_fake = (real @ critic[0] < 1), (fake @ critic[0] > -1)
    assert 0 < wanted_real.sum() + wanted_fake.sum() < 12
    loss.backward()
    expected = (fake[wanted_fake].sum(dim=0) - real[wanted_real].sum(dim=0)) / 6
    assert torch.allclose(critic.grad[0], expected, atol=1e-6)


def test_the_recipe_is_the_papers(registry: Registry) -> None:
    config = resolved(registry, "geometric-gan", "digits")
    for player, moves in ((config.generator, 10), (config.discriminator, 1)):
        assert (player.optimizer, player.lr, player.alpha, player.moves) == ("rmsprop", 2e-4, 0.99, moves)
    assert (config.loss.name, config.regularizers, config.batch_size) == ("hinge", {}, 64)
    assert (config.architecture.name, config.latent.dim) == ("dcgan", 100)


@pytest.mark.parametrize("data", [("digits", "architecture.width=4"), ("ring",)])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "geometric-gan", *data)
    critic = run.game.networks["discriminator"]
    assert not [layer for layer in critic.modules() if parametrize.is_parametrized(layer)]
