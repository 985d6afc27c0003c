"""What judges a generator: feature extractors and metrics, and what they are given. `evaluate.py` runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.core.data import ArrayData, Data, Split
from ganforge.core.latents import Generator


class Features(NamedTuple):
    """What an extractor makes of images: float32 [N, dim], and [N, classes] where it is a classifier."""

    features: Tensor
    logits: Tensor | None = None


class Extractor(nn.Module):
    """A fixed network that turns images into features.

    `weights` is the sha256 of its weights; `preprocessing` says in words what happens to pixels first, and changes
    whenever that does; `classes` is the number of logits, 0 for none. `standard` says that published scores are of
    just this network and preprocessing. `provenance` is what else to tell with every score.
    """

    weights: str
    preprocessing: str
    dim: int
    classes: int = 0
    standard: bool = False
    provenance: Mapping[str, str | int | float] = {}

    def embed(self, pixels: Tensor) -> Features:
        """Features of float32 [N, C, H, W] in [0, 255]; differentiable, for losses and inversion."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Features of uint8 [N, C, H, W]."""
        features, logits = self.embed(images.float())
        return Features(features.float(), None if logits is None else logits.float())


class Judged(NamedTuple):
    """A batch of one side, real or generated: what a metric's `update` gets, each part if any metric needs it.

    Samples are uint8 [N, C, H, W] or points float32 [N, 2]; labels int64 [N] where there are classes.
    """

    samples: Tensor | None
    labels: Tensor | None = None
    features: Tensor | None = None
    logits: Tensor | None = None


class Scorer(Protocol):
    """A built metric, for one side against the real one: fed batch by batch, asked once.

    One that looks through a network of its own also has a `provenance` as an `Extractor` has, told with its scores.
    """

    def update(self, batch: Judged, real: bool) -> None:
        """Take in a batch; `real` ones come first."""

    def compute(self) -> Mapping[str, Any]:
        """Figures by name: floats, or tensors of one element."""
        ...


Watch = Callable[[str, int, int], None]
"""Told after every batch: what is looked at, how many of it are, and of how many."""


def silent(what: str, done: int, of: int) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class Case:
    """What a metric is built for: the real data, how many samples are judged, and a seed for what it draws.

    For those that go beyond samples: the split the generator may have learned from; `look`, which gives the features
    of all of a split, in its order, and keeps them on disk; and what made the samples, except where they are real.
    `watch` is told (what, done, of) by what takes long.
    """

    data: Data
    samples: int
    seed: int = 0
    extractor: Extractor | None = None
    training: Data | None = None
    look: Callable[[Data], Features] | None = None
    generator: Generator | None = None
    device: str = "cpu"
    watch: Watch = field(default_factory=lambda: silent)


Sampler = Callable[[int, int], tuple[np.ndarray, np.ndarray | None]]
"""(start, n) to samples `start` … `start + n`, uint8 [n, C, H, W] or float32 [n, 2], and their labels int64 [n]."""


@dataclass(frozen=True)
class Asked:
    """Metrics and extractor with their options, how many samples, and on which device.

    `about` is what to tell of the generator with every score.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    extractor: str | None = None
    extractor_options: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 10_000
    seed: int = 0
    batch_size: int = 100
    device: str = "cpu"
    about: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A data set's two splits, and which of them generated samples are compared with.

    With `floor`, real samples of the other split, if it has as many, are judged as if they were generated: what the
    number of samples alone costs.
    """

    training: Data
    test: Data
    split: Split = "test"
    floor: bool = True

    @property
    def data(self) -> Data:
        return self.test if self.split == "test" else self.training

    @property
    def other(self) -> Data:
        return self.training if self.split == "test" else self.test


@dataclass(frozen=True)
class Side:
    """Samples of one origin. Features of those with a `key` are kept on disk; `real` ones have no generator."""

    name: str
    sample: Sampler
    count: int
    key: str = ""
    real: bool = True


def side_of(name: str, data: Data, order: np.ndarray, which: str) -> Side:
    """Real samples in an order, which `which` tells apart from others of the same data."""
    # Only what lies in memory has a fingerprint of its pixels; files that are read again might have changed.
    key = f"{data.fingerprint} {which}" if isinstance(data, ArrayData) else ""
    return Side(name, lambda start, n: data.fetch(order[start : start + n]), len(order), key)
