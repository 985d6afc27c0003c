"""What networks are built for, and what a data set gives: numpy only, so that listing data needs no torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ganforge.core.errors import GanforgeError, unknown

Split = Literal["train", "test"]


class DataSpec(BaseModel):
    """One sample's shape, without the batch: (channels, height, width) for images, (2,) for points in the plane.

    Networks see images as float32 in [-1, 1] and points as they are. `extent` says how far from the origin points
    lie, about: what a network divides them by that wants its inputs near 1.

    `domains` are the names of two kinds of pictures of this shape between which a network translates; `paired` says
    that there is one of each of the same thing. Their samples have a picture of each, one behind the other along the
    channels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    extent: float = Field(1.0, gt=0)
    domains: tuple[str, ...] = ()
    paired: bool = False

    @property
    def stacked(self) -> tuple[int, ...]:
        """The shape of what a data set gives: of a picture of each domain, or of one sample."""
        return (max(1, len(self.domains)) * self.shape[0], *self.shape[1:])

    def domain(self, samples: Any, number: int) -> Any:
        """One domain's part of an array or a tensor [N, *stacked]: [N, *shape]."""
        channels = self.shape[0]
        return samples[:, number * channels : (number + 1) * channels]

    @property
    def kind(self) -> Literal["images", "points"]:
        return "images" if len(self.shape) == 3 else "points"

    def labels(self, n: int, label: str | int | None = None, *, start: int = 0) -> np.ndarray:
        """Class numbers int64 [n] of samples `start` …: all of the class named or numbered, or every class in turn.

        Raises:
            GanforgeError: there is no such class.
        """
        if label is None:
            return np.arange(start, start + n, dtype=np.int64) % len(self.classes)
        if label in self.classes:
            return np.full(n, self.classes.index(str(label)), dtype=np.int64)
        if str(label).isdecimal() and int(label) < len(self.classes):
            return np.full(n, int(label), dtype=np.int64)
        raise unknown("class", str(label), self.classes)

    def __str__(self) -> str:
        if self.kind == "points":
            return f"points with {self.shape[0]} coordinates"
        channels, height, width = self.shape
        pairs = f" in {'pairs of ' if self.paired else ''}{len(self.domains)} domains" if self.domains else ""
        return f"{height}×{width} {'grey' if channels == 1 else 'colour'} images{pairs}"


def check_labels(labels: np.ndarray, n: int, classes: int) -> None:
    """Refuse what a generator cannot take as the class numbers of `n` samples.

    Raises:
        GanforgeError: not [n], not integers, or out of range.
    """
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or ((labels < 0) | (labels >= classes)).any():
        raise GanforgeError(f"labels must be {n} whole numbers from 0 to {classes - 1}")


class Data(Protocol):
    """A loaded split. `fetch` must be a pure function of the indices; it may be called from another thread."""

    @property
    def spec(self) -> DataSpec: ...

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def fetch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Samples (uint8 [n, C, H, W] or float32 [n, 2]) and labels (int64 [n], or None where there are no classes).

        C are the channels of `spec.stacked`. Data with `sizes`, a number of samples for each domain, is also asked by
        indices [n, domains].
        """
        ...


@dataclass(frozen=True)
class Mixture:
    """The Gaussian mixture synthetic points came from: what mode metrics compare samples with."""

    centres: np.ndarray
    sigma: float


@dataclass(frozen=True)
class ArrayData:
    """A data set that lives in memory: images as uint8 [n, C, H, W], points as float32 [n, 2]."""

    spec: DataSpec
    samples: np.ndarray
    labels: np.ndarray | None = None
    mixture: Mixture | None = None
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(f"{self.samples.shape}{self.spec.classes}".encode())
        digest.update(np.ascontiguousarray(self.samples).data)
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).data)
        object.__setattr__(self, "fingerprint", digest.hexdigest())

    def __len__(self) -> int:
        return len(self.samples)

    def fetch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return self.samples[indices], None if self.labels is None else self.labels[indices]


def chosen(data: Data, split: Split, only: Sequence[str | int], limit: int | None) -> Data:
    """A split with the classes `only` alone, by name or number and numbered anew in this order, and no more than
    `limit` samples of it, or of each of two unpaired domains, where it is for training. A part of a split is kept in
    memory.

    Which samples are left follows from their number alone: the first hundred are among the first thousand.

    Raises:
        GanforgeError: there is no such class, none at all, none of its samples, or fewer samples than `limit`.
    """
    spec, places = data.spec, np.arange(len(data))
    if only:
        numbers = list(dict.fromkeys(int(spec.labels(1, name)[0]) for name in only))
        spec = spec.model_copy(update={"classes": tuple(spec.classes[number] for number in numbers)})
        places = places[np.isin(_labels(data), numbers)]
        if not len(places):
            raise GanforgeError(f"option 'data.only': no sample of these classes is in the {split} split")
    if limit is not None and split == "train":
        if limit > len(places):
            raise GanforgeError(f"option 'data.limit': there are {len(places)} samples for training, not {limit}")
        if isinstance(data, UnpairedData):  # each domain keeps an order of its own
            return UnpairedData(spec, tuple(chosen(s, split, (), min(limit, len(s))) for s in data.sides))
        places = np.sort(np.random.default_rng(0).permutation(places)[:limit])
    elif not only:
        return data
    samples, labels = data.fetch(places)
    if only and labels is not None:
        labels = np.array([numbers.index(label) for label in labels], dtype=np.int64)
    if isinstance(data, ArrayData):  # with what else it has
        return replace(data, spec=spec, samples=samples, labels=labels)
    return ArrayData(spec, samples, labels)


def _labels(data: Data) -> np.ndarray:
    """Of every sample, int64 [n], a few at a time: the samples themselves may not fit in memory."""
    pieces = np.array_split(np.arange(len(data)), math.ceil(len(data) / 256))
    return np.concatenate([data.fetch(piece)[1] for piece in pieces])


@dataclass(frozen=True)
class UnpairedData:
    """Two data sets as the domains of one, each in an order of its own. An epoch is one of the larger."""

    spec: DataSpec
    sides: tuple[Data, ...]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(" ".join(side.fingerprint for side in self.sides).encode()).hexdigest()

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(side) for side in self.sides)

    @property
    def lazy(self) -> bool:
        return any(getattr(side, "lazy", False) for side in self.sides)

    def __len__(self) -> int:
        return max(self.sizes)

    def fetch(self, indices: np.ndarray) -> tuple[np.ndarray, None]:
        """By a column of indices for each domain, or by one for all, which starts again in a smaller domain."""
        columns = indices.T if indices.ndim == 2 else [indices % size for size in self.sizes]
        pictures = [side.fetch(column)[0] for side, column in zip(self.sides, columns, strict=True)]
        return np.concatenate(pictures, axis=1), None


@dataclass(frozen=True)
class DataRequest:
    """What the user asked of a data set, beside its own options."""

    split: Split = "train"
    resolution: int | None = None
    root: Path | None = None
    download: bool = False
