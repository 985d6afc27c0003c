"""Whose neighbour a sample is, and how far that one's own neighbour is."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.distances import nearest
from ganforge.plugins.blocks.sides import Sides


class Authenticity:
    """From features [n, dim] of generated samples, and [l, dim] of all training ones, to `authenticity`.

    With held-out samples on the real side, also to `authenticity_held_out`, which is theirs.
    """

    def __init__(self, training: Tensor, *, held_out: bool) -> None:
        self.training, self.held_out, self.sides = training, held_out, Sides()

    def update(self, batch: Judged, real: bool) -> None:
        if self.held_out or not real:
            self.sides.update(batch, real)

    def compute(self) -> dict[str, float]:
        beside = {"authenticity_held_out": authenticity(self.training, self.sides.real)} if self.held_out else {}
        return {"authenticity": authenticity(self.training, self.sides.generated), **beside}


def authenticity(training: Tensor, samples: Tensor) -> float:
    """The share in [0, 1] of samples [n, dim] that are no copies of training ones, [l, dim] with l of at least 2."""
    found = nearest(samples, training, 1)
    # Only training samples that are nearest to some sample need a radius. They are the nearest of all to themselves.
    copied, which = found.numbers[:, 0].unique(return_inverse=True)
    radius = nearest(training[copied], training, 2).distances[:, 1]
    return int((found.distances[:, 0] > radius[which]).sum()) / len(samples)
