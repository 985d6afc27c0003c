"""The features of both sides gathered, and compared once they are all there."""

from __future__ import annotations

from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.manifolds import prdc
from ganforge.plugins.blocks.sides import Sides


class Prdc:
    """From features [n, dim] of both sides to `precision_k5` and the others, k being what it is."""

    def __init__(self, k: int) -> None:
        self.k, self.sides = k, Sides()

    def update(self, batch: Judged, real: bool) -> None:
        self.sides.update(batch, real)

    def compute(self) -> dict[str, float]:
        found = prdc(self.sides.exact(real=True), self.sides.exact(real=False), self.k)
        return {f"{name}_k{self.k}": value for name, value in found.items()}
