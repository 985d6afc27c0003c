"""The test of arXiv 2004.05675, section 4: distances from training samples, ranked cell by cell.

Distances are from the nearest of all training samples, as the paper's d(x) is; its published code looks within the
cell alone. U counts ties as halves, and its deviation is the paper's, which knows of no ties.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.draw import hash64
from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.distances import nearest
from ganforge.plugins.blocks.sides import Sides
from ganforge.plugins.metrics.data_copying import LEAST
from ganforge.plugins.metrics.data_copying.clusters import assign, k_means


class Placed(NamedTuple):
    """Samples by their distances from training data, float64 [n], and the cells they lie in, int64 [n]."""

    distances: Tensor
    cells: Tensor


class DataCopying:
    """From features [n, dim] of held-out and of generated samples, and [l, dim] of training ones, to `ct`."""

    def __init__(self, training: Tensor, cells: int, seed: int) -> None:
        self.training, self.sides = training, Sides()
        self.centres = k_means(training, cells, torch.Generator().manual_seed(hash64(seed, "ct")))

    def update(self, batch: Judged, real: bool) -> None:
        self.sides.update(batch, real)

    def compute(self) -> dict[str, float]:
        return copying(self._place(self.sides.real), self._place(self.sides.generated), len(self.centres))

    def _place(self, features: Tensor) -> Placed:
        return Placed(nearest(features, self.training, 1).distances[:, 0], assign(features, self.centres))


def copying(real: Placed, generated: Placed, cells: int) -> dict[str, float]:
    """Of held-out and of generated samples, placed in so many cells.

    Returns:
        ct: the weighted mean of z-scores; ct_share: the share in [0, 1] of real samples in cells that count.

    Raises:
        GanforgeError: no cell has enough generated samples and a real one.
    """
    weighted = weights = 0.0
    for cell in range(cells):
        there, made = (side.distances[side.cells == cell] for side in (real, generated))
        if len(there) and len(made) >= LEAST:
            weight = len(there) / len(real.cells)
            weighted, weights = weighted + weight * z_score(there, made), weights + weight
    if not weights:
        raise GanforgeError(
            f"metric 'ct' finds no cell with {LEAST} generated samples and a real one: set fewer ct.cells"
        )
    return {"ct": weighted / weights, "ct_share": weights}


def z_score(real: Tensor, generated: Tensor) -> float:
    """Mann and Whitney's U of numbers [n] and [m], less its mean and over its deviation if all were of one kind.

    Below zero where `generated` are the smaller ones.
    """
    n, m, ordered = len(real), len(generated), real.sort().values
    below = torch.searchsorted(ordered, generated) + torch.searchsorted(ordered, generated, right=True)
    return (float(below.sum()) / 2 - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5
