"""Distances between features, a few rows at a time, so that no matrix of all of them is ever held.

They are computed by matrix products in float64, which are eight times as fast as differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 2**22  # distances computed at once: 32 MiB
ROWS = 4096  # samples of a side in float64 at once
SAME = 1e-7  # of the largest norm: what products leave of the distance between equal vectors is less


class Neighbours(NamedTuple):
    """The nearest of others for each sample, nearest first: distances float64 [n, k] and their numbers int64 [n, k]."""

    distances: Tensor
    numbers: Tensor


def neighbours(samples: Tensor, parts: Iterable[Tensor], k: int) -> Neighbours:
    """Of float64 samples [n, dim] among others, which come in parts [l, dim] and are numbered through."""
    none = samples.new_empty(len(samples), 0)
    found = Neighbours(none, none.long())
    at = 0
    for part in parts:
        there = [distances.topk(min(k, len(part)), largest=False) for _, distances in distances_by_rows(samples, part)]
        distances = torch.cat([found.distances, torch.cat([one.values for one in there])], dim=1)
        numbers = torch.cat([found.numbers, torch.cat([one.indices for one in there]) + at], dim=1)
        best = distances.topk(min(k, distances.shape[1]), largest=False)
        found = Neighbours(best.values, numbers.gather(1, best.indices))
        at += len(part)
    return found


def nearest(samples: Tensor, others: Tensor, k: int) -> Neighbours:
    """Of samples [n, dim] among others [l, dim], of any type: a few thousand of each at a time are in float64."""
    found = [
        neighbours(rows.double(), (part.double() for part in others.split(ROWS)), k) for rows in samples.split(ROWS)
    ]
    return Neighbours(torch.cat([one.distances for one in found]), torch.cat([one.numbers for one in found]))


def radii(features: Tensor, k: int) -> Tensor:
    """Each sample's distance from its k-th neighbour, float64 [n]; the nearest of all is itself."""
    nearest = [
        distances.topk(k + 1, largest=False).values[:, -1] for _, distances in distances_by_rows(features, features)
    ]
    return torch.cat(nearest)


def distances_by_rows(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of `first`, and their Euclidean distances from all of `second`."""
    step = max(1, CHUNK // len(second))
    same = SAME * float(torch.linalg.vector_norm(second, dim=1).max())
    for start in range(0, len(first), step):
        rows = slice(start, start + step)
        distances = torch.cdist(first[rows], second, compute_mode="use_mm_for_euclid_dist")
        yield rows, distances.masked_fill_(distances < same, 0)
