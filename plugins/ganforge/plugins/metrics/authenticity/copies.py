"""Whose neighbour a sample is, and how far that one's own neighbour is."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.distances import distances_by_rows, radii
from ganforge.plugins.blocks.sides import Sides


class Authenticity:
    """From features [n, dim] of both sides to `authenticity`."""

    def __init__(self) -> None:
        self.sides = Sides()

    def update(self, batch: Judged, real: bool) -> None:
        self.sides.update(batch, real)

    def compute(self) -> dict[str, float]:
        return {"authenticity": authenticity(self.sides.real.double(), self.sides.generated.double())}


def authenticity(real: Tensor, generated: Tensor) -> float:
    """The share in [0, 1] of generated samples, float64 [m, dim], that are no copies of real ones, [n, dim]."""
    radius = radii(real, 1)
    new = 0
    for _, distances in distances_by_rows(generated, real):
        nearest = distances.min(dim=1)
        new += int((nearest.values > radius[nearest.indices]).sum())
    return new / len(generated)
