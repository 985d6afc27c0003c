"""Distances between features, a few rows at a time, so that no matrix of all of them is ever held.

They are computed by matrix products in float64, which are eight times as fast as differences.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 2**22  # distances computed at once: 32 MiB
SAME = 1e-7  # of the largest norm: what products leave of the distance between equal vectors is less


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
