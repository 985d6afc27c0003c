"""The `modes` metric against cases counted by hand and what theory says of perfect and of blind samplers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ganforge.core import ArrayData, DataSpec, GanforgeError, Mixture
from ganforge.core.data import DataRequest
from ganforge.core.registry import Registry
from ganforge.plugins.metrics import modes


def mixture_data(centres: list[tuple[float, float]], sigma: float) -> ArrayData:
    return ArrayData(DataSpec(shape=(2,)), np.zeros((1, 2), np.float32), None, Mixture(np.array(centres), sigma))


def score(points: object, data: ArrayData) -> dict[str, float]:
    return modes.score(np.asarray(points, np.float32), data)


SQUARE = mixture_data([(0, 0), (10, 0), (0, 10), (10, 10)], 1.0)


def test_hand_counted() -> None:
    # Two good samples of mode 0, one bad; one good of mode 1; one bad of mode 2; none of mode 3.
    points = [(0, 0), (0, 2.9), (0, -3.1), (10, 1), (0, 14)]
    shares = (3 / 5, 1 / 5, 1 / 5)
    got = score(points, SQUARE)
    assert got["modes"] == 2
    assert got["modes_of"] == 4
    # A quarter of an equal share is 5 / 16 of a sample, and one is the least.
    assert got["modes_quarter"] == 2
    # Within 4 sigma are also the bad one of mode 0 and that of mode 2, on the rim.
    assert (got["modes_4_sigma"], got["high_quality_4_sigma"]) == (3, 1)
    assert got["high_quality"] == pytest.approx(3 / 5)
    assert got["reverse_kl"] == pytest.approx(sum(p * math.log(p * 4) for p in shares))


def test_distance_is_euclidean_and_three_sigma_counts() -> None:
    # (2.5, 2.5) is within 3 sigma in each coordinate, and 3.54 away.
    assert score([(2.5, 2.5)], SQUARE)["high_quality"] == 0
    assert score([(3.0, 0.0)], SQUARE)["high_quality"] == 1
    assert score([(1.5, 0.0)], mixture_data([(0, 0)], 0.5))["modes"] == 1
    assert score([(1.51, 0.0)], mixture_data([(0, 0)], 0.5))["modes"] == 0


def test_a_mode_is_captured_by_samples_nearest_to_it() -> None:
    # Both centres are within 3 sigma of the sample; it belongs to the nearer one only.
    assert score([(0.4, 0)], mixture_data([(0, 0), (1, 0)], 1.0))["modes"] == 1


@pytest.mark.parametrize(
    ("counts", "kl"), [((5, 5, 5, 5), 0.0), ((20, 0, 0, 0), math.log(4)), ((10, 10, 0, 0), math.log(2))]
)
def test_reverse_kl_extremes(counts: tuple[int, ...], kl: float) -> None:
    points = np.repeat(SQUARE.mixture.centres, counts, axis=0)  # type: ignore[union-attr]
    assert score(points, SQUARE)["reverse_kl"] == pytest.approx(kl, abs=1e-12)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_a_perfect_sampler_meets_the_floors(registry: Registry, name: str) -> None:
    spec = registry.find("dataset", name)
    data = spec.load(spec.options(), DataRequest())
    held_out = spec.load(spec.options(), DataRequest(split="test"))
    got = score(held_out.samples, data)
    n, k = len(held_out), len(data.mixture.centres)
    expected = 1 - math.exp(-4.5)
    assert got["modes"] == got["modes_of"] == k
    assert got["high_quality"] == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n))
    wider = 1 - math.exp(-8)
    assert got["high_quality_4_sigma"] == pytest.approx(wider, abs=4 * math.sqrt(wider * (1 - wider) / n))
    for part in held_out.samples.reshape(40, 2500, 2):
        few = score(part, data)
        assert few["modes"] == few["modes_quarter"] == few["modes_4_sigma"] == k
    kls = [score(part, data)["reverse_kl"] for part in held_out.samples.reshape(40, 2500, 2)]
    # 2 n KL is about chi-squared with k - 1 degrees of freedom: mean k - 1, variance 2 (k - 1).
    assert np.mean(kls) * 2 * 2500 == pytest.approx(k - 1, abs=4 * math.sqrt(2 * (k - 1) / 40))


def test_uniform_noise_hits_the_share_its_area_says(registry: Registry) -> None:
    spec = registry.find("dataset", "grid")
    data = spec.load(spec.options(samples=10), DataRequest())
    noise = np.random.default_rng(0).uniform(-5, 5, (200_000, 2))
    got = score(noise, data)
    share = 25 * math.pi * 0.15**2 / 100
    assert got["modes"] == 25
    assert got["high_quality"] == pytest.approx(share, abs=4 * math.sqrt(share / 200_000))
    assert got["reverse_kl"] == pytest.approx(0, abs=1e-3)  # each mode is nearest to a 2 by 2 square


@pytest.mark.parametrize(("name", "side", "least"), [("ring", 1.25, 5), ("grid", 5.0, 20)])
def test_noise_captures_many_modes_by_one_sample_and_none_by_a_quarter(
    registry: Registry, name: str, side: float, least: int
) -> None:
    spec = registry.find("dataset", name)
    data = spec.load(spec.options(samples=10), DataRequest())
    for seed in (3, 4, 5):
        got = score(np.random.default_rng(seed).uniform(-side, side, (2500, 2)), data)
        assert got["modes_4_sigma"] >= got["modes"] >= least
        assert got["modes_quarter"] == 0


@pytest.mark.parametrize(("there", "counts"), [(19, 3), (20, 4)])
def test_a_quarter_of_an_equal_share_is_20_of_2000_on_25_modes(there: int, counts: int) -> None:
    """Here 20 of 320 on four."""
    points = np.repeat(SQUARE.mixture.centres, (100, 100, 120 - there, there), axis=0)  # type: ignore[union-attr]
    got = score(points, SQUARE)
    assert (got["modes"], got["modes_quarter"]) == (4, counts)


def test_samples_that_are_not_finite_count_among_all() -> None:
    got = score([(0, 0), (np.nan, 0), (np.inf, 0), (10, 0)], SQUARE)
    assert got["high_quality"] == 0.5
    assert got["modes"] == 2
    assert got["reverse_kl"] == pytest.approx(math.log(2))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(1).uniform(-2, 12, (1000, 2))
    whole = score(points, SQUARE)
    monkeypatch.setattr(modes, "CHUNK", 28)
    assert score(points, SQUARE) == whole


def test_what_it_cannot_score_is_one_sentence(registry: Registry) -> None:
    assert registry.find("metric", "modes").needs == {"points"}
    plain = ArrayData(DataSpec(shape=(2,)), np.zeros((1, 2), np.float32))
    with pytest.raises(GanforgeError, match=r"^metric 'modes' needs data from a known mixture, such as ring or grid$"):
        score(np.zeros((3, 2)), plain)
    with pytest.raises(GanforgeError, match=r"^metric 'modes' was given 2 samples, none of them a finite point$"):
        score(np.full((2, 2), np.nan), SQUARE)
    with pytest.raises(GanforgeError, match=r"was given 0 samples"):
        score(np.zeros((0, 2)), SQUARE)
