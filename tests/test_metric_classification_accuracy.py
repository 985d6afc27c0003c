"""The classification accuracy score of generators whose samples are known to teach all, half or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ganforge.core import ArrayData, DataSpec, GanforgeError
from ganforge.core.evaluate import evaluate
from ganforge.core.evaluation import Asked, Reference
from ganforge.core.registry import Registry

SPEC = DataSpec(shape=(1, 8, 8), classes=("dark", "dim", "light", "bright"))
OPTIONS = {"width": 4, "images": 4000}


def pictures(n: int, seed: int) -> ArrayData:
    """Noise around one of four brightnesses, which is its class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, n)
    images = 30 + 60 * labels[:, None, None, None] + random.integers(-20, 21, (n, 1, 8, 8))
    return ArrayData(SPEC, images.astype(np.uint8), labels)


TRAINING, TEST = pictures(300, 0), pictures(200, 1)


def accuracy(registry: Registry, labels: Any, n: int = 200) -> tuple[float, float]:
    """Of a generator of such pictures that calls them by other labels; and of real data."""
    made = pictures(n, 2)
    assert made.labels is not None
    called = labels(made.labels)

    def sample(start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return made.samples[start : start + count], called[start : start + count]

    asked = Asked({"classification-accuracy-score": OPTIONS}, samples=n)
    (score,) = evaluate(sample, Reference(TRAINING, TEST), asked, registry)
    assert score.name == f"cas@{n}[width=4,images=4000]"
    return score.value, float(score.provenance["floor"])


def test_who_learned_from_good_samples_knows_real_ones(registry: Registry) -> None:
    state = torch.get_rng_state()
    assert accuracy(registry, lambda labels: labels) == (pytest.approx(1, abs=0.05), pytest.approx(1, abs=0.05))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_class_that_is_never_made_is_never_known(registry: Registry) -> None:
    """Two names for two pairs of brightnesses: every second real picture is called by its own."""
    expected = float((TEST.labels // 2 * 2 == TEST.labels).mean())  # type: ignore[operator]
    assert accuracy(registry, lambda labels: labels // 2 * 2)[0] == pytest.approx(expected, abs=0.05)


def test_wrong_labels_teach_wrong_classes(registry: Registry) -> None:
    assert accuracy(registry, lambda labels: (labels + 1) % 4)[0] < 0.05


def test_it_needs_labels(registry: Registry) -> None:
    asked = Asked({"classification-accuracy-score": OPTIONS}, samples=10)
    with pytest.raises(GanforgeError, match="needs a generator that takes labels, which this does not"):
        evaluate(lambda start, n: (TEST.samples[:n], None), Reference(TRAINING, TEST), asked, registry)
