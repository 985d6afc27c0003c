"""Metrics of copying and of variety, against cases worked out by hand and torchmetrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ganforge.core import ArrayData, DataSpec, GanforgeError, Options
from ganforge.core.data import Split
from ganforge.core.evaluate import evaluate
from ganforge.core.evaluation import Asked, Case, Features, Judged, Reference
from ganforge.core.registry import Registry
from ganforge.plugins.blocks import distances
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.metrics.authenticity.copies import authenticity
from ganforge.plugins.metrics.ms_ssim import scales


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_authenticity_by_hand() -> None:
    # On a line, 0 and 1 are each other's neighbours at 1, and 10 is 9 from its own.
    real = column(0, 1, 10)
    # 0.4 is 0.4 from 0 and 2.5 is 1.5 from 1: a copy and none. 2 is 1 from 1, no further than 0 is: a copy. 18 is 8
    # from 10, which is 9 from 1: a copy. 20 is 10 from 10: none.
    assert authenticity(real, column(0.4, 2.5, 2, 18, 20)) == 2 / 5


def test_authenticity_of_copies_and_of_fresh_samples() -> None:
    random = torch.Generator().manual_seed(0)
    real, fresh = (torch.randn(500, 4, generator=random, dtype=torch.float64) for _ in range(2))
    assert authenticity(real, real[:100]) == 0
    assert authenticity(real, real[:100] + 1e-4) == 0
    assert 0.4 < authenticity(real, fresh) < 0.8
    assert authenticity(real, fresh + 50) == 1


def test_authenticity_in_parts_is_that_of_whole_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(1)
    training, samples = (torch.randn(n, 4, generator=random) for n in (300, 200))
    between = torch.cdist(samples.double(), training.double()).min(dim=1)
    radius = torch.cdist(training.double(), training.double()).fill_diagonal_(torch.inf).min(dim=1).values
    expected = float((between.values > radius[between.indices]).double().mean())
    monkeypatch.setattr(distances, "ROWS", 64)
    assert authenticity(training, samples) == expected


def grey(n: int, seed: int) -> ArrayData:
    noise = np.random.default_rng(seed).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
    return ArrayData(DataSpec(shape=(1, 8, 8)), noise)


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_copy_of_any_training_picture_is_found_however_few_are_judged(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: Split
) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path))
    training, test = grey(120, 1), grey(30, 2)
    asked = Asked({"authenticity": {}}, "random-smoke-test", samples=20, batch_size=8)
    for start in range(0, 120, 20):

        def copied(at: int, n: int, start: int = start) -> tuple[np.ndarray, None]:
            return training.samples[start + at : start + at + n], None

        found = {score.name: score for score in evaluate(copied, Reference(training, test, split), asked, registry)}
        assert found["authenticity_random-smoke-test@20"].value == 0
    told = found["authenticity_random-smoke-test@20"].provenance
    assert told["compared with"] == "all 120 of the train split"
    assert told["data compared with"] == training.fingerprint
    assert "floor" not in told  # training pictures are copies of themselves
    # What was not trained on is there beside the test split only.
    held_out = found.get("authenticity_held_out_random-smoke-test@20")
    assert (held_out is None) if split == "train" else (held_out is not None and held_out.value > 0.2)


def test_authenticity_needs_two_training_pictures(registry: Registry) -> None:
    build, seen = registry.find("metric", "authenticity").build, Features(torch.zeros(1, 2))
    with pytest.raises(GanforgeError, match="needs at least 2 training samples, not 1"):
        build(Options(), Case(grey(5, 1), 5, training=grey(1, 2), look=lambda data: seen))


def pictures(n: int, side: int, channels: int = 1) -> Tensor:
    """Blurred noise, no two alike: uint8 [n, channels, side, side]."""
    noise = torch.rand(n, channels, side + 8, side + 8, generator=torch.Generator().manual_seed(0))
    return (255 * torch.nn.functional.avg_pool2d(noise, 9, 1)).byte()


def similarity(
    registry: Registry, images: Tensor, labels: Tensor | None = None, batch: int = 10**6
) -> dict[str, float]:
    shape = tuple(images.shape[1:])
    data = ArrayData(DataSpec(shape=shape), np.zeros((2, *shape), np.uint8))
    scorer = registry.find("metric", "ms-ssim").build(Options(), Case(data, len(images)))
    scorer.update(Judged(255 - images), True)  # real ones are not looked at
    for start in range(0, len(images), batch):
        rows = slice(start, start + batch)
        scorer.update(Judged(images[rows], None if labels is None else labels[rows]), False)
    found: dict[str, float] = scorer.compute()
    return found


@pytest.mark.parametrize(
    ("side", "number"), [(11, 1), (21, 1), (22, 2), (32, 2), (64, 3), (96, 3), (98, 3), (99, 4), (128, 4), (256, 5)]
)
def test_as_many_scales_as_the_window_leaves(side: int, number: int) -> None:
    assert scales(side) == number


@pytest.mark.parametrize("side", [11, 22, 44, 88, 98, 99, 176])
def test_torchmetrics_takes_as_many_scales(registry: Registry, side: int) -> None:
    assert len(similarity(registry, pictures(2, side))) == 1


def test_images_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(GanforgeError, match="compares images of at least 11 pixels a side, not 10"):
        scales(10)


def test_similarity_is_torchmetrics_of_pairs(registry: Registry) -> None:
    images = pictures(6, 32)
    module = import_with_torchvision("torchmetrics.functional.image")
    weights = (0.0448 / 0.3304, 0.2856 / 0.3304)
    expected = module.multiscale_structural_similarity_index_measure(
        images[0::2].float(), images[1::2].float(), data_range=255.0, betas=weights
    )
    assert similarity(registry, images) == {"ms_ssim_2scales": pytest.approx(float(expected), rel=1e-6)}
    assert set(similarity(registry, pictures(2, 16))) == {"ms_ssim_1scale"}


def test_pairs_are_of_one_class_whatever_the_batches(registry: Registry) -> None:
    images = pictures(8, 32)
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0])
    by_class = torch.stack([images[i] for i in (0, 2, 1, 3, 4, 6, 5, 7)])
    expected = similarity(registry, by_class)
    for batch in (1, 3, 8):
        got = similarity(registry, images, labels, batch)
        assert got == {name: pytest.approx(value, rel=1e-5) for name, value in expected.items()}


def test_where_no_class_has_two_samples_there_is_nothing_to_compare(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="metric 'ms-ssim' needs two samples of a class, and no class has two"):
        similarity(registry, pictures(4, 32), torch.arange(4))
    assert similarity(registry, pictures(4, 32), torch.tensor([0, 1, 2, 1]))["ms_ssim_2scales"] > 0


def test_without_variety_it_is_one(registry: Registry) -> None:
    one = pictures(1, 32).expand(4, -1, -1, -1)
    varied = similarity(registry, pictures(4, 32))["ms_ssim_2scales"]
    assert similarity(registry, one) == {"ms_ssim_2scales": pytest.approx(1.0)}
    assert varied < 0.6


@pytest.mark.parametrize("labelled", [True, False])
def test_real_samples_are_paired_as_the_generators_are(registry: Registry, labelled: bool) -> None:
    """One picture a class: pairs within a class are alike, others are not, and the floor is of pairs like its own."""
    images, labels = pictures(4, 32).repeat(8, 1, 1, 1).numpy(), np.tile(np.arange(4), 8)
    data = ArrayData(DataSpec(shape=(1, 32, 32), classes=("a", "b", "c", "d")), images, labels)

    def sample(start: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        return images[start : start + n], labels[start : start + n] if labelled else None

    asked = Asked(metrics={"ms-ssim": {}}, extractor="random-smoke-test", samples=32)
    (score,) = evaluate(sample, Reference(data, data), asked, registry)
    assert (score.value == pytest.approx(1)) == labelled
    assert (score.provenance["floor"] == pytest.approx(1)) == labelled
