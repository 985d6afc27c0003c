"""Metrics of features against closed forms, cases worked out by hand, and the libraries that others publish with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganforge.core import ArrayData, DataSpec, GanforgeError
from ganforge.core.draw import hash64
from ganforge.core.evaluation import Case, Extractor, Judged, Scorer
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.blocks import distances
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.metrics.frechet.distance import Moments, frechet

NAMES = ["fid", "kid", "inception-score", "prdc"]
SMALL: dict[str, dict[str, Any]] = {"kid": {"subsets": 3, "subset_size": 20}, "inception-score": {"splits": 4}}


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sides(n: int, m: int, dim: int) -> tuple[Tensor, Tensor]:
    """Two overlapping clouds, uneven and correlated as features are: float32 [n, dim] and [m, dim]."""
    mix = drawn(dim, dim, seed=3) * torch.logspace(0, -2, dim)
    return (drawn(n, dim) @ mix).relu(), (1.1 * drawn(m, dim, seed=2) @ mix + 0.1).relu()


def build(registry: Registry, name: str, real: Tensor, generated: Tensor, *, seed: int = 0, **options: Any) -> Scorer:
    data = ArrayData(DataSpec(shape=(1, 1, 1)), np.zeros((len(real), 1, 1, 1), np.uint8))
    extractor = Extractor()
    extractor.dim = extractor.classes = real.shape[1]
    spec = registry.find("metric", name)
    scorer: Scorer = spec.build(parse(spec.options, options, name), Case(data, len(generated), seed, extractor))
    return scorer


def feed(scorer: Scorer, features: Tensor, real: bool, batch: int = 10**9) -> None:
    for part in features.split(batch):
        scorer.update(Judged(torch.zeros(len(part), 1, 1, 1, dtype=torch.uint8), None, part, part), real)


Score = Callable[..., dict[str, float]]


@pytest.fixture
def score(registry: Registry) -> Score:
    """Features of both sides, which also serve as logits, to a metric's figures."""

    def run(name: str, real: Tensor, generated: Tensor, batch: int = 10**9, **options: Any) -> dict[str, float]:
        scorer = build(registry, name, real, generated, **options)
        feed(scorer, real, True, batch)
        feed(scorer, generated, False, batch)
        return {key: float(value) for key, value in scorer.compute().items()}

    return run


def relative(value: float, tolerance: float) -> Any:
    return pytest.approx(value, rel=tolerance, abs=0)


# All of them.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_do_not_show(score: Score, name: str, batch: int) -> None:
    real, generated = sides(60, 50, 8)
    whole = score(name, real, generated, **SMALL.get(name, {}))
    assert score(name, real, generated, batch, **SMALL.get(name, {})) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_scorer_gives_the_same_and_which_side_comes_first_does_not_matter(
    registry: Registry, score: Score, name: str
) -> None:
    real, generated = sides(60, 50, 8)
    scorer = build(registry, name, real, generated, **SMALL.get(name, {}))
    feed(scorer, generated[:20], False)
    feed(scorer, real, True, batch=40)
    feed(scorer, generated[20:], False)
    first, again = ({key: float(value) for key, value in scorer.compute().items()} for _ in range(2))
    assert first == again == pytest.approx(score(name, real, generated, **SMALL.get(name, {})), rel=1e-12)


class Copies(TorchDispatchMode):
    """Counts the float32 tensors of a size, or larger, that come to be."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.made = size, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.dtype == torch.float32 and made.numel() >= self.size:
            self.made += not made._is_view()
        return made


@pytest.mark.parametrize("name", ["kid", "prdc"])
def test_features_go_to_float64_without_a_float32_copy_of_all(registry: Registry, name: str) -> None:
    real, generated = sides(60, 50, 8)
    scorer = build(registry, name, real, generated, **SMALL.get(name, {}))
    feed(scorer, real, True, batch=16)
    feed(scorer, generated, False, batch=16)
    with Copies(generated.numel()) as copies:
        scorer.compute()
    assert copies.made == 0


@pytest.mark.parametrize("name", NAMES)
def test_features_are_not_changed_and_the_global_generator_is_left_alone(score: Score, name: str) -> None:
    real, generated = sides(60, 50, 8)
    before, state = [real.clone(), generated.clone(), torch.get_rng_state()], np.random.get_state(legacy=False)
    score(name, real, generated, **SMALL.get(name, {}))
    assert all(map(torch.equal, before, [real, generated, torch.get_rng_state()]))
    assert str(np.random.get_state(legacy=False)) == str(state)


@pytest.mark.parametrize(("name", "drawing"), [("fid", False), ("kid", True), ("inception-score", True)])
def test_the_seed_decides_what_is_drawn(score: Score, name: str, drawing: bool) -> None:
    real, generated = sides(60, 50, 8)
    options = SMALL.get(name, {})
    first, again, other = (score(name, real, generated, seed=seed, **options) for seed in (4, 4, 5))
    assert first == again
    assert (first != other) is drawing


# The Fréchet distance.


def moments(features: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exact = np.asarray(features, np.float64)
    return exact.mean(axis=0), np.cov(exact, rowvar=False)


def reference_frechet(first: Tensor, second: Tensor) -> float:
    """By scipy's matrix square root in float64."""
    linalg = pytest.importorskip("scipy.linalg")
    (mean, covariance), (other_mean, other) = moments(first), moments(second)
    root = linalg.sqrtm(covariance @ other).real
    return float(((mean - other_mean) ** 2).sum() + np.trace(covariance + other - 2 * root))


@pytest.mark.parametrize("rotation", [torch.eye(5).double(), torch.linalg.qr(drawn(5, 5).double())[0]])
def test_fid_of_gaussians_that_share_axes_is_the_closed_form(rotation: Tensor) -> None:
    """‖μ₁ - μ₂‖² + Σ (σ₁ - σ₂)²."""
    spread, other = torch.tensor([1.0, 2, 3, 0.5, 0.1]).double(), torch.tensor([2.0, 2, 0.25, 0.5, 4]).double()
    first = Moments(torch.zeros(5).double(), rotation * spread.square() @ rotation.T, 100)
    second = Moments(drawn(5).double(), rotation * other.square() @ rotation.T, 100)
    expected = (second.mean.square().sum() + (spread - other).square().sum()).item()
    assert frechet(first, second) == relative(expected, 1e-13)
    assert frechet(second, first) == relative(expected, 1e-13)


def test_fid_by_hand(score: Score) -> None:
    """Four corners of a rectangle have a diagonal covariance: 4/3 of each half side's square, 4/3 being n / (n - 1)."""
    corners = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    moved = corners * torch.tensor([3.0, 0.5]) + torch.tensor([2.0, -1])
    assert score("fid", corners, moved)["fid"] == relative(4 + 1 + 4 / 3 * ((3 - 1) ** 2 + (1 - 0.5) ** 2), 1e-14)


@pytest.mark.parametrize(("n", "m", "dim"), [(400, 300, 20), (1000, 90, 64)])
def test_fid_agrees_with_scipy_and_torch_fidelity(score: Score, n: int, m: int, dim: int) -> None:
    real, generated = sides(n, m, dim)
    found = score("fid", real, generated)["fid"]
    assert found == relative(reference_frechet(real, generated), 1e-9)
    theirs = import_with_torchvision("torch_fidelity.metric_fid")
    statistics = [theirs.fid_features_to_statistics(side.double()) for side in (generated, real)]
    value = theirs.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert found == relative(value, 1e-9)


@pytest.mark.parametrize(("n", "m"), [(12, 200), (200, 12), (12, 9), (2, 2), (64, 64)])
def test_fid_with_singular_covariances(score: Score, n: int, m: int) -> None:
    """Tr (C₁C₂)^½ is the sum of the singular values of X₁X₂ᵀ / ((n - 1)(m - 1))^½, X being centred samples in rows."""
    real, generated = sides(n, m, 64)
    first, second = (side.double() - side.double().mean(dim=0) for side in (real, generated))
    shared = torch.linalg.svdvals(first @ second.T).sum() / math.sqrt((n - 1) * (m - 1))
    spreads = first.square().sum() / (n - 1) + second.square().sum() / (m - 1)
    apart = (real.double().mean(dim=0) - generated.double().mean(dim=0)).square().sum()
    expected = float(apart + spreads - 2 * shared)
    assert score("fid", real, generated)["fid"] == relative(expected, 1e-12)


def test_fid_with_features_that_never_vary(score: Score) -> None:
    real, generated = sides(100, 80, 6)
    known = score("fid", real, generated)["fid"]
    constant = [torch.cat([side, torch.full((len(side), 2), 7.0)], dim=1) for side in (real, generated)]
    assert score("fid", *constant)["fid"] == relative(known, 1e-6)
    assert score("fid", torch.ones(5, 3), torch.zeros(4, 3))["fid"] == pytest.approx(3, abs=1e-12)


@pytest.mark.parametrize("n", [3, 16, 200])
def test_fid_of_a_side_with_itself_is_zero_and_never_below(score: Score, n: int) -> None:
    side, _ = sides(n, 2, 16)
    assert 0 <= score("fid", side, side)["fid"] < 1e-12


def test_fid_far_from_the_origin_keeps_its_digits(score: Score) -> None:
    real, generated = sides(300, 200, 8)
    offset = (real * 64).round() / 64, (generated * 64).round() / 64  # so that float32 can add 4096 exactly
    moved = [side + 4096 for side in offset]
    assert score("fid", *moved)["fid"] == relative(score("fid", *offset)["fid"], 1e-6)


def test_fid_keeps_no_samples(registry: Registry) -> None:
    real, generated = sides(1000, 900, 8)
    scorer = build(registry, "fid", real, generated)
    for _ in range(3):
        feed(scorer, real, True)
        feed(scorer, generated, False)
        held = [value for side in vars(scorer).values() for value in vars(side).values() if isinstance(value, Tensor)]
        assert sum(value.numel() for value in held) == 2 * (8 + 64)
        assert all(value.dtype == torch.float64 for value in held)


# The kernel distance.


def reference_kid(real: Tensor, generated: Tensor) -> float:
    """The unbiased estimate, written out."""
    x, y = np.asarray(real, np.float64), np.asarray(generated, np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y))]
    return float(sum(within) - 2 * kernel(x, y).mean())


def test_kid_by_hand(score: Score) -> None:
    # k(0, 1) = 1, k(1, 2) = 27, k(0, 2) = 1 and k(2, 3) = 343 in one dimension.
    real, generated = torch.tensor([[0.0], [1]]), torch.tensor([[2.0], [3]])
    expected = 1 + 343 - 2 * (1 + 1 + 27 + 64) / 4
    found = score("kid", real, generated, subsets=1, subset_size=2)
    assert found == {"kid": relative(expected, 1e-14)}


@pytest.mark.parametrize(("n", "dim"), [(40, 8), (300, 64)])
def test_kid_of_one_subset_agrees_with_the_formula_and_torch_fidelity(score: Score, n: int, dim: int) -> None:
    real, generated = sides(n, n, dim)
    found = score("kid", real, generated, subsets=1, subset_size=n)["kid"]
    assert found == relative(reference_kid(real, generated), 1e-10)
    theirs = import_with_torchvision("torch_fidelity.metric_kid").kid_features_to_metric
    known = theirs(generated.double(), real.double(), kid_subsets=1, kid_subset_size=n, verbose=False)
    assert found == relative(known["kernel_inception_distance_mean"], 1e-10)


@pytest.mark.parametrize("subsets", [6, 60])  # few pairs of all that there are; each of them many times
def test_kid_is_the_mean_over_subsets_without_repetition(score: Score, subsets: int) -> None:
    real, generated = sides(600, 25, 4)
    found = score("kid", real, generated, subsets=subsets, subset_size=20, seed=9)
    random = torch.Generator().manual_seed(hash64(9, "kid"))
    estimates = []
    for _ in range(subsets):
        rows, others = (torch.randperm(len(side), generator=random)[:20] for side in (real, generated))
        estimates.append(reference_kid(real[rows], generated[others]))
    assert found["kid"] == relative(float(np.mean(estimates)), 1e-10)
    assert found["kid_std"] == relative(float(np.std(estimates)), 1e-10)


def test_kid_of_subsets_that_are_all_there_is_is_computed_once(score: Score) -> None:
    real, generated = sides(40, 40, 8)
    found = score("kid", real, generated, subsets=100, subset_size=40)
    assert found == {"kid": relative(reference_kid(real, generated), 1e-10)}


def test_kid_is_unbiased(score: Score) -> None:
    """Of equal distributions it is zero on average, within four standard errors, and below zero half of the time."""
    values = [
        score("kid", drawn(20, 4, seed=s), drawn(20, 4, seed=1000 + s), subsets=1, subset_size=20)["kid"]
        for s in range(200)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)
    assert 60 < sum(value < 0 for value in values) < 160


# The inception score.


@pytest.mark.parametrize("classes", [2, 10])
def test_inception_score_of_a_classifier_that_cannot_tell_is_one(score: Score, classes: int) -> None:
    logits = torch.zeros(40, classes)
    assert score("inception-score", logits, logits) == {"is": pytest.approx(1, abs=1e-14), "is_std": 0}


@pytest.mark.parametrize("sure", [40.0, 1e4])
def test_inception_score_of_sure_and_balanced_classes_is_their_number(score: Score, sure: float) -> None:
    logits = sure * torch.eye(7).repeat(6, 1)
    assert score("inception-score", logits, logits, splits=1)["is"] == relative(7, 1e-12)
    one_class = sure * torch.eye(7)[[3]].repeat(20, 1)
    assert score("inception-score", one_class, one_class)["is"] == relative(1, 1e-12)


def test_inception_score_by_hand(score: Score) -> None:
    """Two samples, sure of one class with 3/4 each: log 2 - H(3/4)."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    expected = 2 * math.exp(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert score("inception-score", logits, logits, splits=1)["is"] == relative(expected, 1e-7)


@pytest.mark.parametrize(("n", "splits"), [(500, 1), (500, 10), (47, 10)])
def test_inception_score_agrees_with_torch_fidelity(score: Score, n: int, splits: int) -> None:
    logits = 3 * drawn(n, 12)
    found = score("inception-score", logits, logits, splits=splits, seed=6)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(hash64(6, "inception-score")))
    theirs = import_with_torchvision("torch_fidelity.metric_isc").isc_features_to_metric
    known = theirs(logits[order], splits, shuffle=False)
    assert found["is"] == relative(known["inception_score_mean"], 1e-12)
    assert found["is_std"] == pytest.approx(known["inception_score_std"], rel=1e-10, abs=1e-14)


def test_inception_score_keeps_no_logits(registry: Registry) -> None:
    logits = drawn(1000, 100)
    scorer = build(registry, "inception-score", logits, logits, splits=4)
    feed(scorer, logits, False, batch=64)
    held = [value for value in vars(scorer).values() if isinstance(value, Tensor)]
    # Of each sample the number of its split, and of each split sums over the classes and over entropies.
    assert sum(value.numel() for value in held) == 1000 + 4 * (100 + 1)
    assert not any(isinstance(value, list) for value in vars(scorer).values())


def test_inception_score_does_not_depend_on_which_class_comes_when(score: Score) -> None:
    for logits in (50 * torch.eye(5).repeat(200, 1), 50 * torch.eye(5).repeat_interleave(200, dim=0)):
        assert score("inception-score", logits, logits)["is"] > 4.5


# Precision, recall, density, coverage.


def reference_prdc(real: Tensor, generated: Tensor, k: int) -> Mapping[str, float]:
    package = pytest.importorskip("prdc")
    found: Mapping[str, float] = package.compute_prdc(real.double().numpy(), generated.double().numpy(), k)
    return {f"{name}_k{k}": float(value) for name, value in found.items()}


@pytest.mark.parametrize(("k", "chunk"), [(1, 1), (3, 80), (5, 700), (10, distances.CHUNK)])
@pytest.mark.parametrize(("n", "m", "dim"), [(120, 90, 3), (90, 120, 16), (200, 200, 64), (13, 12, 2)])
def test_prdc_agrees_with_the_package(
    score: Score, n: int, m: int, dim: int, k: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, generated = sides(n, m, dim)
    monkeypatch.setattr(distances, "CHUNK", chunk)
    assert score("prdc", real, generated, k=k) == pytest.approx(reference_prdc(real, generated, k), rel=1e-14, abs=0)


def test_prdc_never_holds_all_distances(score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    cdist = torch.cdist

    def watched(first: Tensor, second: Tensor, **settings: Any) -> Tensor:
        held.append(len(first) * len(second))
        return cdist(first, second, **settings)

    monkeypatch.setattr(torch, "cdist", watched)
    monkeypatch.setattr(distances, "CHUNK", 1000)
    score("prdc", *sides(300, 200, 4))
    assert max(held) <= 1000
    assert sum(held) == 300**2 + 200**2 + 300 * 200


def test_prdc_by_hand(score: Score) -> None:
    """On a line, with k = 1."""
    real = torch.tensor([[0.0], [1], [4], [10], [13]])
    generated = torch.tensor([[0.5], [2], [12], [20], [21]])
    # Real balls: (-1, 1), (0, 2), (1, 7), (7, 13), (10, 16). 0.5 and 12 are in two, 2 in one and on a rim.
    # Generated balls: (-1, 2), (0.5, 3.5), (4, 20), (19, 21), (20, 22). All real ones are in one but 4, on a rim.
    found = score("prdc", real, generated, k=1)
    assert found == {"precision_k1": 3 / 5, "recall_k1": 4 / 5, "density_k1": 1.0, "coverage_k1": 1.0}
    assert found == reference_prdc(real, generated, 1)


def test_prdc_extremes(score: Score) -> None:
    real = drawn(60, 4)
    apart = score("prdc", real, drawn(60, 4, seed=2) + 100)
    assert set(apart.values()) == {0.0}
    same = score("prdc", real, real + 1e-3)
    assert min(same.values()) > 0.9
    collapsed = score("prdc", real, real[:1].repeat(60, 1) + 1e-3)
    assert collapsed["precision_k5"] == 1
    assert collapsed["recall_k5"] == 0
    assert collapsed["coverage_k5"] < 0.5


def test_prdc_of_samples_that_repeat_is_the_package_s(score: Score) -> None:
    # Products leave a little of the distance between equal vectors: a ball of radius zero must hold nothing.
    random = np.random.default_rng(0)
    real = torch.from_numpy(random.normal(size=(20, 16)).repeat(10, axis=0)).float()
    generated = real[:100]
    assert score("prdc", real, generated) == reference_prdc(real, generated, 5)


# What goes wrong.


@pytest.mark.parametrize(
    ("name", "counts", "options", "problem"),
    [
        ("kid", (2000, 999), {}, "subset_size' of 1000 needs at least 1000 generated samples, not 999"),
        ("kid", (30, 2000), {"subset_size": 40}, "subset_size' of 40 needs at least 40 real samples, not 30"),
        ("prdc", (9, 5), {}, "k' of 5 needs at least 6 generated samples, not 5"),
        ("prdc", (3, 9), {"k": 3}, "k' of 3 needs at least 4 real samples, not 3"),
        ("inception-score", (9, 9), {}, "splits' of 10 needs at least 10 generated samples, not 9"),
    ],
)
def test_too_few_samples_for_an_option_are_one_sentence(
    registry: Registry, name: str, counts: tuple[int, int], options: dict[str, Any], problem: str
) -> None:
    """Which also says what would do."""
    real, generated = (torch.zeros(count, 2) for count in counts)
    with pytest.raises(GanforgeError) as error:
        build(registry, name, real, generated, **options)
    sentence, _, remedy = str(error.value).partition("; try --set ")
    assert sentence == f"option '{name}.{problem}"
    key, _, value = remedy.removeprefix(f"{name}.").partition("=")
    suggested: dict[str, Any] = {key: int(value)}
    build(registry, name, real, generated, **suggested)


def test_as_many_as_are_needed_suffice(score: Score) -> None:
    six = drawn(6, 3)
    options: dict[str, dict[str, Any]] = {"kid": {"subset_size": 6}, "inception-score": {"splits": 6}}
    found = [score(name, six, six, **options.get(name, {})) for name in NAMES]
    assert all(math.isfinite(value) for figures in found for value in figures.values())
