"""The figures of health against closed forms, and that measuring changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from ganforge.core import Run, train
from ganforge.core.config import merge
from ganforge.core.draw import Batch
from ganforge.core.game import Critique
from ganforge.core.registry import Registry
from ganforge.core.run import begin, watched
from ganforge.plugins.blocks.equalised import EqualConv2d, EqualLinear
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.observers.health import HealthOptions, figures
from ganforge.plugins.observers.health.observer import Health


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


def records(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]


def measured(**options: Any) -> dict[str, Any]:
    return {"observers": {"health": {"every": 1, "images": 16, **options}}, "log_every": 1}


def test_separation_is_the_chance_to_rank_right() -> None:
    assert figures.separation(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1
    assert figures.separation(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])) == 1
    assert figures.separation(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.0])) == 0.5
    # Of the four pairs three are in order, and one is a tie.
    assert figures.separation(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])) == pytest.approx(3.5 / 4)


def test_overfitting_is_where_the_held_out_opinion_lies_between_real_and_fake() -> None:
    opinions = {
        "real": torch.tensor([0.85, 0.75]),
        "held_out": torch.tensor([0.6, 0.6]),
        "fake": torch.tensor([0.25, 0.15]),
    }
    found = figures.of_critic(opinions, even=0.5)
    assert found["overfitting/r_v"] == pytest.approx((0.8 - 0.6) / (0.8 - 0.2))
    assert found["overfitting/r_t"] == 1
    assert found["accuracy/held_out"] == 1
    assert found["accuracy/fake"] == 1
    assert found["d_high/real"] == pytest.approx(0.84)


def opinions(real: float, held_out: float, fake: float, seed: int) -> dict[str, torch.Tensor]:
    """128 of each, with these means and a standard deviation of 1."""
    random, means = torch.Generator().manual_seed(seed), {"real": real, "held_out": held_out, "fake": fake}
    return {kind: mean + torch.randn(128, generator=random) for kind, mean in means.items()}


def test_a_critic_that_cannot_tell_shows_no_overfitting() -> None:
    for seed in range(200):
        assert "overfitting/r_v" not in figures.of_critic(opinions(0, 0, 0, seed), even=0)
    alike = dict.fromkeys(("real", "held_out", "fake"), torch.ones(8))
    assert "overfitting/r_v" not in figures.of_critic(alike, even=0)


@pytest.mark.parametrize(("held_out", "low", "high"), [(0.0, 0.8, 1.0), (2.0, 0.0, 0.2)])
def test_a_critic_that_can_tell_shows_whether_it_overfits(held_out: float, low: float, high: float) -> None:
    for seed in range(20):
        found = figures.of_critic(opinions(2, held_out, 0, seed), even=1)["overfitting/r_v"]
        assert low <= found <= high
        assert 0 <= figures.of_critic(opinions(-2, held_out - 2, 0, seed), even=1)["overfitting/r_v"] <= 1


def test_without_an_even_level_nothing_is_right_or_wrong() -> None:
    found = figures.of_critic({"real": torch.ones(3), "fake": torch.zeros(3)}, even=None)
    assert not [name for name in found if name.startswith(("accuracy", "overfitting", "separation"))]


def test_support_is_that_of_a_birthday_paradox() -> None:
    random = torch.Generator().manual_seed(0)
    kinds = 50
    pictures = torch.randn(kinds, 64, generator=random, dtype=torch.float64)
    drawn = pictures[torch.randint(kinds, (600,), generator=random)]
    real = torch.randn(100, 64, generator=random, dtype=torch.float64)
    assert figures.support(drawn, real) == pytest.approx(kinds, rel=0.1)


def test_samples_that_never_repeat_have_a_support_of_at_least_all_pairs() -> None:
    samples = torch.randn(40, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert figures.support(samples, samples) == 40 * 39 / 2


def test_dead_and_saturated_values_are_counted_beyond_the_real_ones() -> None:
    real = torch.rand(32, 1, 2, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    samples = real.clone()
    samples[:, :, 0, 0] = 1.0
    found = figures.of_samples(samples, real, images=True)
    assert found["output/saturated"] == 0.25
    assert found["output/dead"] == 0.25
    same = figures.of_samples(real, real, images=True)
    assert same["variety/distance"] == 1
    assert same["variety/coverage"] == 1
    assert same["variety/recall"] == 1


def test_samples_all_in_one_place_recall_nothing_else() -> None:
    real = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    samples = real[:1] + 1e-3 * torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    found = figures.of_samples(samples, real, images=False)
    assert found["variety/precision"] == 1
    assert found["variety/recall"] == 1 / 64


def test_variety_within_a_class_is_over_that_of_real_ones() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    real = Batch(torch.tensor([[0.0], [4.0], [0.0], [2.0], [9.0]]), labels)
    # Class 0 varies half as much, class 1 not at all, and of class 2 there is one alone.
    samples = Batch(torch.tensor([[1.0], [3.0], [5.0], [5.0], [7.0]]), labels)
    assert figures.within_class(samples, real)["variety/within_class"] == (0.5 + 0) / 2
    assert figures.within_class(Batch(samples.samples, torch.arange(5)), real) == {}


def test_the_largest_singular_value_is_that_of_all_layers() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Conv2d(2, 3, 2))
    expected = max(float(torch.linalg.svdvals(w.detach().flatten(1))[0]) for w in network.parameters() if w.ndim > 1)
    assert float(figures.of_weights(network)["singular"]) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(3, 4), (1, 9), (40, 5), (128, 576)])
def test_the_largest_singular_value_of_any_shape(shape: tuple[int, int], seed: int) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    found = float(figures.largest_singular_value(matrix))
    assert found == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=0.02)


def test_weights_that_came_apart_have_none() -> None:
    assert math.isnan(figures.largest_singular_value(torch.tensor([[1.0, math.inf], [0.0, 1.0]])))
    assert math.isnan(figures.largest_singular_value(torch.full((3, 3), 3e38)))
    assert figures.largest_singular_value(torch.zeros(3, 3)) == 0


@pytest.mark.parametrize("build", [lambda: EqualLinear(3, 4, rate=0.01), lambda: EqualConv2d(2, 3)])
def test_of_equalised_layers_it_is_that_of_the_weights_in_use(build: Callable[[], EqualLinear | EqualConv2d]) -> None:
    layer = build()
    in_use = (layer.weight * layer.scale).detach().flatten(1)
    assert float(figures.of_weights(layer)["singular"]) == pytest.approx(
        float(torch.linalg.svdvals(in_use)[0]), rel=0.01
    )


def test_a_critic_of_pairs_judges_what_was_made_beside_what_it_was_made_of(tmp_path: Path) -> None:
    registry = Registry(fallback=BUILTIN)
    asked = {"recipe": "bigan", "data": {"name": "digits", "resolution": 16}, "steps": 1, "batch_size": 8}
    wanted = merge(registry.find("recipe", "bigan").small, {**asked, "observers": []})
    _, data, game = begin(wanted, registry)
    health = Health(HealthOptions(images=16))
    info, _ = watched(game, data, tmp_path, 0, registry)
    health.run_started(info)
    game.networks["discriminator"] = Sum()
    step = health._step(game, 1)
    said = health._opinion(step, Batch(step.fake, step.labels), name="fake")
    assert torch.allclose(said, step.latent.sum(dim=1).sigmoid())


class Sum(torch.nn.Module):
    """A critic of pairs that looks at the latent alone."""

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None, z: torch.Tensor) -> Critique:
        return Critique(z.sum(dim=1))


@pytest.mark.parametrize("norm", [False, True])
def test_measuring_changes_nothing(tmp_path: Path, registry: Registry, norm: bool) -> None:
    networks = {"architecture": {"name": "tiny", "norm": norm, "dropout": 0.3}}
    quiet = train(tiny.request(**networks), tmp_path / "quiet", registry=registry)
    watched = train(tiny.request(**networks, **measured()), tmp_path / "watched", registry=registry)
    for name, tensor in quiet.game.state_dict().items():
        assert torch.equal(tensor, watched.game.state_dict()[name]), name
    assert all("separation" in record for record in records(watched))


def test_the_figures_are_finite_and_the_same_after_a_resume(tmp_path: Path, registry: Registry) -> None:
    from ganforge.core import resume

    whole = records(train(tiny.request(**measured()), tmp_path / "whole", registry=registry))
    train(tiny.request(**measured(), steps=2), tmp_path / "parts", registry=registry)
    parts = records(resume(tmp_path / "parts", steps=4, registry=registry))
    timeless = [{k: v for k, v in record.items() if "second" not in k} for record in parts]
    assert timeless == [{k: v for k, v in record.items() if "second" not in k} for record in whole]
    assert all(math.isfinite(value) for record in whole for value in record.values())


def test_points_are_measured_too(tmp_path: Path) -> None:
    registry = Registry(fallback=BUILTIN)
    wanted = {"recipe": "vanilla", "data": "ring", "steps": 2, "log_every": 1, "seed": 3, **measured(points=32)}
    (first, _) = records(train(wanted, tmp_path / "run", registry=registry))
    assert 0 <= first["variety/coverage"] <= 1
    assert 0 <= first["variety/recall"] <= 1
    assert "support" not in first
    assert np.isfinite(first["singular"])


def test_every_counts_rounds(tmp_path: Path, registry: Registry) -> None:
    found = records(train(tiny.request(**measured(every=3), steps=8), tmp_path / "run", registry=registry))
    assert [record["round"] for record in found if "separation" in record] == [3, 6, 8]


@pytest.mark.parametrize("recipe", ["pacgan", "gman", "ebgan", "began", "infogan", "sgan", "acgan", "unrolled"])
def test_critics_of_every_kind_are_measured(tmp_path: Path, recipe: str) -> None:
    registry = Registry(fallback=BUILTIN)
    asked = {"recipe": recipe, "data": {"name": "digits", "resolution": 16}, "steps": 2, "batch_size": 8}
    wanted = merge(registry.find("recipe", recipe).small, {**asked, **measured(images=20)})
    found = records(train(wanted, tmp_path / "run", registry=registry))
    for one in found:
        assert 0.5 <= one["separation"] <= 1
        assert one["variety/distance"] > 0


def test_fewer_samples_than_a_batch_are_enough(tmp_path: Path, registry: Registry) -> None:
    wanted = tiny.request(data={"name": "tiny-pictures", "n": 5}, batch_size=8, **measured())
    found = records(train(wanted, tmp_path / "run", registry=registry))
    assert all(math.isfinite(value) for record in found for value in record.values())


@pytest.mark.parametrize("view", ["diffaugment", "ada", "instance-noise"])
def test_a_critic_that_sees_views_is_measured_over_several_batches(
    tmp_path: Path, registry: Registry, view: str
) -> None:
    found = records(train(tiny.request(**measured(), regularizers={view: {}}), tmp_path / "run", registry=registry))
    assert all(0 <= record["separation"] <= 1 for record in found)
