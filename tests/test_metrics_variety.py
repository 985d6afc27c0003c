"""Metrics of copying and of variety, against cases worked out by hand and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ganforge.core import ArrayData, DataSpec, GanforgeError, Options
from ganforge.core.evaluation import Case, Judged
from ganforge.core.registry import Registry
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
