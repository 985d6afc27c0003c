"""The data-copying test against scipy's and scikit-learn's, cases worked out by hand, and generators known to copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganforge.core import ArrayData, DataSpec, GanforgeError
from ganforge.core.evaluate import evaluate
from ganforge.core.evaluation import Asked, Case, Features, Judged, Reference
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.distances import neighbours
from ganforge.plugins.metrics.data_copying.cells import Placed, copying, z_score
from ganforge.plugins.metrics.data_copying.clusters import assign, k_means, settle, spread


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def data(n: int) -> ArrayData:
    return ArrayData(DataSpec(shape=(1, 1, 1)), np.zeros((n, 1, 1, 1), np.uint8))


def score(registry: Registry, training: Tensor, held_out: Tensor, generated: Tensor, cells: int) -> dict[str, float]:
    spec, learned = registry.find("metric", "ct"), data(len(training))
    case = Case(data(len(held_out)), len(generated), training=learned, look=lambda asked: Features(training))
    scorer = spec.build(spec.options(cells=cells), case)
    for side, real in ((held_out, True), (generated, False)):
        for part in side.split(64):
            scorer.update(Judged(None, None, part), real)
    found: dict[str, float] = scorer.compute()
    return found


# One cell.


def test_z_by_hand() -> None:
    """Of 1 and 3 against 2: one of two pairs is in each order. Against 5, 3 and 0: 2, 1½ and 0 of two."""
    assert z_score(torch.tensor([3.0, 1.0]), torch.tensor([2.0])) == 0
    expected = (2 + 1.5 + 0 - 3) / math.sqrt(2 * 3 * 6 / 12)
    assert z_score(torch.tensor([1.0, 3.0]), torch.tensor([5.0, 3.0, 0.0])) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m", "shift"), [(30, 40, 0.0), (200, 50, 0.5), (25, 300, -1.0)])
def test_z_is_scipys(n: int, m: int, shift: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    real, generated = drawn(n).double(), drawn(m, seed=2).double() + shift
    found = stats.mannwhitneyu(generated, real, alternative="less", method="asymptotic", use_continuity=False)
    z = z_score(real, generated)
    assert z == pytest.approx((found.statistic - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12), rel=1e-12)
    assert stats.norm.cdf(z) == pytest.approx(found.pvalue, rel=1e-9)


def test_the_nearest_are_found_among_all_parts() -> None:
    training, samples = drawn(60, 3).double(), drawn(25, 3, seed=2).double()
    expected = torch.cdist(samples, training).topk(9, largest=False)
    found = neighbours(samples, training.split(7), 9)
    torch.testing.assert_close(found.distances, expected.values)
    assert torch.equal(found.numbers, expected.indices)
    own = neighbours(training[5:9], training.split(7), 1)
    assert own.distances.flatten().tolist() == [0, 0, 0, 0]
    assert own.numbers.flatten().tolist() == [5, 6, 7, 8]
    assert neighbours(samples, training[:4].split(3), 9).numbers.shape == (25, 4)


# All cells.


def test_cells_are_weighted_by_held_out_samples_and_small_ones_do_not_count() -> None:
    # Of 40 held-out samples 30, 8 and 2 lie in three cells, and of 64 generated ones 25, 20 and 19.
    real = Placed(drawn(40).double().abs(), torch.tensor([0] * 30 + [1] * 8 + [2] * 2))
    generated = Placed(drawn(64, seed=2).double().abs(), torch.tensor([0] * 25 + [1] * 20 + [2] * 19))
    first = z_score(real.distances[:30], generated.distances[:25])
    second = z_score(real.distances[30:38], generated.distances[25:45])
    found = copying(real, generated, 3)
    assert found == {"ct": pytest.approx((30 * first + 8 * second) / 38), "ct_share": 38 / 40}


def test_where_no_cell_counts_it_is_a_sentence() -> None:
    real = Placed(torch.ones(30), torch.zeros(30))
    with pytest.raises(
        GanforgeError, match=r"finds no cell with 20 generated samples and a real one: set fewer ct\.cells"
    ):
        copying(real, Placed(torch.ones(30), torch.ones(30)), 2)


@pytest.mark.parametrize("cells", [1, 4])
def test_copies_fresh_samples_and_blurred_ones(registry: Registry, cells: int) -> None:
    training, held_out, fresh = (drawn(1000, 3, seed=seed) for seed in (1, 2, 3))
    copies = score(registry, training, held_out, training[:500] + 0.01 * fresh[:500], cells)["ct"]
    assert copies < -8
    assert abs(score(registry, training, held_out, fresh[:500], cells)["ct"]) < 3
    assert score(registry, training, held_out, 2 * fresh, cells)["ct"] > 5


def test_copying_in_one_half_is_not_made_up_for_in_the_other(registry: Registry) -> None:
    """The reason for cells: a generator that copies here and underfits there looks fair over all."""
    apart = torch.tensor([[20.0, 0.0]])
    training, held_out, fresh = (
        torch.cat([drawn(400, 2, seed=seed), drawn(400, 2, seed=seed + 10) + apart]) for seed in (1, 2, 3)
    )
    lopsided = torch.cat([training[:400] + 1e-3 * fresh[:400], fresh[400:]])
    found = score(registry, training, held_out, lopsided, 2)
    assert found["ct"] < -5
    assert found["ct_share"] == 1
    collapsed = score(registry, training, held_out, fresh[:400], 2)
    assert collapsed["ct_share"] == 0.5


def test_of_one_distribution_z_has_a_deviation_of_one(registry: Registry) -> None:
    values = []
    for seed in range(100):
        training, held_out, fresh = (drawn(60, 2, seed=3 * seed + i) for i in range(3))
        values.append(score(registry, training, held_out, fresh, 1)["ct"])
    assert abs(np.mean(values)) < 0.4
    assert 0.8 < np.std(values) < 1.25


# The partition.


def test_lloyd_s_iterations_are_scikit_learns() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    features = torch.cat([drawn(150, 5, seed=seed) + 2 * seed for seed in range(3)])
    start = spread(features, 6, torch.Generator().manual_seed(0))
    theirs = cluster.KMeans(6, init=start.numpy(), n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(features)
    centres = settle(features, start)
    np.testing.assert_allclose(centres.numpy(), theirs.cluster_centers_, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(assign(features, centres).numpy(), theirs.labels_)


def test_clear_clusters_are_found_and_repetition_does_no_harm() -> None:
    corners = 10 * torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    features = (corners[:, None] + 0.1 * drawn(4, 50, 2)).flatten(0, 1)
    cells = assign(features, k_means(features, 4, torch.Generator().manual_seed(0))).view(4, 50)
    assert (cells == cells[:, :1]).all()
    assert len(set(cells[:, 0].tolist())) == 4
    same = torch.ones(30, 2)
    assert torch.equal(k_means(same, 3, torch.Generator().manual_seed(0)), same[:3])


# In an evaluation.


def test_an_evaluation_gives_it_both_splits(registry: Registry, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path))
    random = np.random.default_rng(0)
    training, test = (
        ArrayData(DataSpec(shape=(1, 8, 8)), random.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)) for _ in range(2)
    )

    def copied(start: int, n: int) -> tuple[np.ndarray, None]:
        return training.samples[start : start + n], None

    asked = Asked({"ct": {"cells": 2}}, "random-smoke-test", samples=100)
    told: set[str] = set()
    scores = evaluate(copied, Reference(training, test), asked, registry, lambda what, done, of: told.add(what))
    assert [score.name for score in scores] == [
        f"{figure}_random-smoke-test@100[cells=2]" for figure in ("ct", "ct_share")
    ]
    assert scores[0].value < -5
    assert "floor" not in scores[0].provenance
    assert told == {"real, all of the training split", "real", "generated"}
    with pytest.raises(
        GanforgeError, match="metric 'ct' compares with samples that were not trained on: leave out --sp"
    ):
        evaluate(copied, Reference(training, test, "train"), asked, registry)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ((5000, 5000, 400), "of 50 needs at least 1000 generated samples, 20 for each, not 400; try --set ct.cells=20"),
        ((5000, 180, 5000), "of 50 needs at least 1000 real samples, 20 for each, not 180; try --set ct.cells=9"),
        ((30, 5000, 5000), "of 50 needs at least 1000 training samples, 20 for each, not 30; try --set ct.cells=1"),
    ],
)
def test_too_many_cells_are_a_sentence(registry: Registry, counts: tuple[int, int, int], sentence: str) -> None:
    training, held_out, generated = (torch.zeros(n, 1) for n in counts)
    with pytest.raises(GanforgeError, match=f"option 'ct.cells' {sentence}"):
        score(registry, training, held_out, generated, 50)
