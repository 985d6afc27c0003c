"""Feature matching: the distance by hand, what it replaces, and that it adds where it should."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from feature_critics import FeatureCritic
from small_games import Zero, assert_resumes_exactly, make_game, make_step, mlp_critic, player

from ganforge.core import GanforgeError, distributed
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.wgan.losses import Wasserstein
from ganforge.plugins.tricks.feature_matching import FeatureMatchingOptions
from ganforge.plugins.tricks.feature_matching.penalty import FeatureMatching


def effect(**options: object) -> FeatureMatching:
    return FeatureMatching(parse(FeatureMatchingOptions, options))


@pytest.mark.parametrize("maps", [(), (2, 2, 2)], ids=["vector", "maps"])
def test_it_is_the_squared_distance_of_the_means(maps: tuple[int, ...]) -> None:
    critic, matching = FeatureCritic(maps=maps), effect()
    step = make_step(make_game(critic, matching=matching), "generator")
    real, fake = (torch.tanh(critic.first(x)) for x in (step.real, step.fake))
    by_hand = sum(((real[:, i].sum() - fake[:, i].sum()) / 6) ** 2 for i in range(8))
    assert by_hand > 1e-3
    assert matching.penalty(step).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_equal_means_cost_nothing_however_the_samples_differ() -> None:
    matching = effect()
    step = make_step(make_game(FeatureCritic(), matching=matching), "generator")
    step.fake = step.real.flip(0)
    assert matching.penalty(step).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("added", "weight"), [(False, 1.0), (False, 3.0), (True, 0.5)])
def test_it_replaces_the_generators_loss_or_is_added(added: bool, weight: float) -> None:
    game = make_game(FeatureCritic(), Wasserstein(), matching=effect(added=added, weight=weight))
    step = make_step(game, "generator")
    objective = game.objective(player(game, "generator"), step.draw, step.clock)
    distance = weight * effect().penalty(objective.step)
    loss = Wasserstein().generator(objective.step) if added else torch.zeros(())
    assert objective.loss.item() == pytest.approx((loss + distance).item(), rel=1e-5)
    assert ("loss/generator" in objective.scalars) == added
    assert objective.scalars["penalty/matching"].item() == pytest.approx(distance.item(), rel=1e-5)


def test_the_discriminator_keeps_its_own_loss() -> None:
    game = make_game(FeatureCritic(), Wasserstein(), matching=effect())
    step = make_step(game)
    objective = game.objective(player(game, "discriminator"), step.draw, step.clock)
    assert objective.loss.item() == pytest.approx(Wasserstein().discriminator(objective.step).item())
    assert "penalty/matching" not in objective.scalars


def test_the_means_are_those_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def mean(tensor: torch.Tensor) -> torch.Tensor:
        asked.append(tensor.shape)
        return tensor.mean(dim=0)

    matching = effect()
    step = make_step(make_game(FeatureCritic(), matching=matching), "generator")
    monkeypatch.setattr(distributed, "mean", mean)
    matching.penalty(step)
    assert asked == [(6, 8), (6, 8)]


def test_a_critic_without_features_is_refused_at_once() -> None:
    with pytest.raises(GanforgeError) as error:
        make_game(mlp_critic(), Zero(), matching=effect())
    assert str(error.value) == (
        "regularizer 'feature-matching' reads features of the discriminator, and architecture 'none' gives none; "
        "choose another architecture"
    )


@pytest.mark.parametrize("setting", ["true", "{added=true, weight=0.1}"])
def test_it_fits_a_recipe_and_resumes_exactly(registry: Registry, tmp_path: Path, setting: str) -> None:
    settings = ("architecture.width=4", f"regularizers.feature-matching={setting}")
    assert_resumes_exactly(registry, tmp_path, "dcgan", "digits", *settings)
