"""Stacked digits: what the set holds, and its modes counted by hand, by theory, and of real data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from ganforge.core import ArrayData, DataRequest, DataSpec, GanforgeError
from ganforge.core.evaluate import evaluate
from ganforge.core.evaluation import Asked, Case, Features, Judged, Reference
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.classifier import classifier_of
from ganforge.plugins.blocks.settings import ClassifierOptions
from ganforge.plugins.metrics.stacked_digits.triples import Triples, count


def load(registry: Registry, split: str = "train", resolution: int = 8, **options: Any) -> Any:
    spec = registry.find("dataset", "stacked-digits")
    return spec.load(spec.options(**{"samples": 3000, "held_out": 500, **options}), DataRequest(split, resolution))  # type: ignore[arg-type]


# The data.


def test_channels_are_single_digits_and_the_class_is_their_number(registry: Registry) -> None:
    stacked = load(registry, "test", labelled=True)
    assert stacked.samples.shape == (500, 3, 8, 8)
    assert stacked.samples.dtype == np.uint8
    single = {
        image.tobytes(): label
        for image, label in zip(*stacked.single.fetch(np.arange(len(stacked.single))), strict=True)
    }
    for picture, label in zip(stacked.samples, stacked.labels, strict=True):
        digits = [single[channel.tobytes()] for channel in picture]
        assert stacked.spec.classes[label] == " ".join(map(str, digits))
    assert stacked.spec.classes[:2] == ("0 0 0", "0 0 1")
    assert stacked.spec.classes[-1] == "9 9 9"


def test_splits_share_no_digit_and_every_load_is_the_same(registry: Registry) -> None:
    train, test = load(registry), load(registry, "test")
    assert len(train) == 3000
    assert train.spec.classes == ()
    assert train.labels is None
    digits = [{channel.tobytes() for picture in data.samples for channel in picture} for data in (train, test)]
    assert not digits[0] & digits[1]
    assert load(registry).fingerprint == train.fingerprint != test.fingerprint
    # The channels are drawn by themselves: hardly any picture is grey.
    assert (train.samples[:, 0] == train.samples[:, 1]).all(axis=(1, 2)).mean() < 0.01


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"of": "ring"},
            "option 'data.of': .* are stacked, and 'ring' has points|has points, which have no resolution",
        ),
        ({"of": "stacked-digits"}, "option 'data.of': grey pictures .* and 'stacked-digits' has 8×8 colour images"),
        ({"of": "mnits"}, "unknown dataset 'mnits'; did you mean 'mnist'"),
        ({"samples": 10_000_000, "resolution": 512}, "'stacked-digits' at 512×512 needs .* ask for a lower --resol"),
    ],
)
def test_what_cannot_be_stacked_is_a_sentence(registry: Registry, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GanforgeError, match=sentence):
        load(registry, **options)


# The metric.


def test_counting_by_hand() -> None:
    counts = torch.tensor([6, 1, 0, 1])
    shares = (6 / 8, 1 / 8, 1 / 8)
    kl = sum(share * math.log(share * 4) for share in shares)
    assert count(counts) == {"modes": 3, "modes_5_times": 1, "modes_of": 4, "reverse_kl": pytest.approx(kl, rel=1e-12)}
    assert count(torch.full((1000,), 7))["reverse_kl"] == pytest.approx(0, abs=1e-12)
    assert count(torch.tensor([0, 9, 0]))["reverse_kl"] == pytest.approx(math.log(3))


class Brightness(torch.nn.Module):
    """Takes a picture of brightness b to be of class b."""

    classes, accuracy, weights = 10, torch.tensor(0.5), "of brightness"

    def forward(self, images: torch.Tensor) -> Features:
        return Features(images, torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), 10).float())


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_triple_is_its_channels_in_order(batch: int) -> None:
    scorer = Triples(Brightness())  # type: ignore[arg-type]
    triples = torch.tensor([[1, 2, 3], [1, 2, 3], [3, 2, 1], [0, 0, 9]], dtype=torch.uint8)
    images = triples[:, :, None, None].expand(-1, -1, 2, 2)
    scorer.update(Judged(images + 1), True)  # real ones are not counted
    for part in images.split(batch):
        scorer.update(Judged(part), False)
    assert scorer.counts.nonzero().flatten().tolist() == [9, 123, 321]
    assert scorer.counts[[9, 123, 321]].tolist() == [1, 2, 1]
    found = scorer.compute()
    assert (found["modes"], found["modes_of"], found["classifier_accuracy"]) == (3, 1000, 0.5)


def expected(n: int, modes: int = 1000) -> tuple[float, float, float]:
    """Of a perfect sampler, on average: modes seen, modes seen five times, reverse KL.

    How often a mode is seen is binomial; the divergence is modes × E[(k / n) log(k modes / n)].
    """
    k = np.arange(min(n, 400))
    logs = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k])
    p = np.exp(logs + k * math.log(1 / modes) + (n - k) * math.log(1 - 1 / modes))
    kl = modes * float((p[1:] * k[1:] / n * np.log(k[1:] * modes / n)).sum())
    return modes * (1 - p[0]), modes * (1 - p[:5].sum()), kl


def test_a_perfect_sampler_scores_what_theory_says() -> None:
    random = np.random.default_rng(0)
    for n in (1000, 5000, 26_000):
        found = count(torch.from_numpy(np.bincount(random.integers(1000, size=n), minlength=1000)))
        modes, often, kl = expected(n)
        assert found["modes"] == pytest.approx(modes, abs=45)
        assert found["modes_5_times"] == pytest.approx(often, abs=45)
        assert found["reverse_kl"] == pytest.approx(kl, rel=0.1)
    assert expected(26_000)[2] == pytest.approx(999 / 52_000, rel=0.03)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANFORGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_of_real_data_it_is_the_floor_and_of_a_collapsed_generator_it_is_not(registry: Registry, cache: Any) -> None:
    training, test = load(registry, samples=6000, held_out=5000), load(registry, "test", held_out=5000)

    def collapsed(start: int, n: int) -> tuple[np.ndarray, None]:
        return test.samples[np.arange(start, start + n) % 50], None

    options = {"stacked-digits": {"width": 8, "images": 20_000}}
    scores = evaluate(collapsed, Reference(training, test), Asked(options, samples=5000), registry)
    found = {
        score.name.removesuffix("[width=8,images=20000]"): (score.value, score.provenance["floor"]) for score in scores
    }
    single = classifier_of(training.single, ClassifierOptions(width=8, images=20_000))
    assert scores[0].provenance["stacked-digits.weights"] == single.weights
    modes, often, kl = expected(5000)
    assert found["modes_of@5k"] == (1000, 1000)
    assert found["classifier_accuracy@5k"][0] == found["classifier_accuracy@5k"][1] > 0.9
    assert found["modes@5k"][0] <= 50
    assert found["modes@5k"][1] == pytest.approx(modes, abs=10)
    assert found["modes_5_times@5k"][1] == pytest.approx(often, abs=50)
    assert found["reverse_kl@5k"][0] > math.log(20) - 0.1
    assert found["reverse_kl@5k"][1] == pytest.approx(kl, rel=0.15)


def test_data_that_is_not_stacked_is_refused(registry: Registry) -> None:
    spec = registry.find("metric", "stacked-digits")
    data = ArrayData(DataSpec(shape=(3, 8, 8)), np.zeros((4, 3, 8, 8), np.uint8))
    with pytest.raises(GanforgeError, match="needs data whose channels are pictures, such as stacked-digits"):
        spec.build(spec.options(), Case(data, 4, training=data))
