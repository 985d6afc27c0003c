"""WGAN: the critic's loss, clipping after each critic step and of the critic alone, Algorithm 1's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import assert_resumes_exactly, make_game, mlp_critic, move, player, resolved, said, says

from ganforge.core.registry import Registry
from ganforge.plugins.papers.wgan.clipping import WeightClipping
from ganforge.plugins.papers.wgan.losses import Wasserstein

CLIP = 0.01


def biggest(parameters: list[torch.nn.Parameter]) -> float:
    return max(parameter.abs().max().item() for parameter in parameters)


def test_the_losses_by_hand() -> None:
    duel = said([1.0, 4.0], [-1.0, 2.0])
    assert Wasserstein().discriminator(duel).item() == 0.5 - 2.5
    assert Wasserstein().generator(duel).item() == -0.5


def test_the_best_critic_of_slope_one_reads_the_distance() -> None:
    """Points at 0, 1, 2: what must move is mass 3/8 from 0, of which 1/8 stops at 1 and 2/8 goes on to 2."""
    assert Wasserstein().discriminator(says(torch.tensor([0.0, 1.0, 2.0]))).item() == pytest.approx(-5 / 8)


def test_the_reading_claims_no_level(registry: Registry) -> None:
    reading = registry.find("loss", "wasserstein").reading
    assert (reading.even, reading.healthy, reading.zero_is_failure) == (None, None, False)


def test_every_critic_move_clips_the_critic_and_nothing_else() -> None:
    game = make_game(mlp_critic(), Wasserstein(), clipping=WeightClipping(CLIP))
    critic, generator = player(game, "discriminator"), player(game, "generator")
    before = [parameter.clone() for parameter in generator.parameters]
    assert biggest(critic.parameters) > CLIP
    for round_ in range(3):
        move(game, "discriminator", round=round_)
        # Adam's 2e-4 is felt each time, so weights at the edge were pushed out and clipped back.
        assert biggest(critic.parameters) == pytest.approx(CLIP)
        assert all(torch.equal(old, new) for old, new in zip(before, generator.parameters, strict=True))


def test_a_generator_move_clips_nothing() -> None:
    game = make_game(mlp_critic(), Wasserstein(), clipping=WeightClipping(CLIP))
    before = [parameter.clone() for parameter in player(game, "discriminator").parameters]
    move(game, "generator")
    assert biggest(player(game, "generator").parameters) > CLIP
    after = player(game, "discriminator").parameters
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_the_recipe_is_algorithm_1(registry: Registry) -> None:
    config = resolved(registry, "wgan", "digits")
    for side in (config.generator, config.discriminator):
        assert (side.optimizer, side.lr, side.momentum) == ("rmsprop", 5e-5, 0.0)
    assert (config.discriminator.moves, config.generator.moves, config.batch_size) == (5, 1, 64)
    assert config.regularizers == {"weight-clipping": {"clip": 0.01}}
    assert (config.loss.name, config.architecture.name) == ("wasserstein", "dcgan")


@pytest.mark.parametrize("data", [("digits", "architecture.width=4"), ("ring",)])
def test_training_resumes_exactly_and_ends_in_the_box(
    registry: Registry, tmp_path: Path, data: tuple[str, ...]
) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "wgan", *data)
    clip = run.config.regularizers["weight-clipping"]["clip"]
    assert biggest(player(run.game, "discriminator").parameters) == pytest.approx(clip)
