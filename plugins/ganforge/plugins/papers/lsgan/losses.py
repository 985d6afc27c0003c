"""Equation 2 of Mao et al. (arXiv 1611.04076)."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Duel, LossModule
from ganforge.plugins.papers.lsgan import LeastSquaresOptions


class LeastSquares(LossModule):
    """D: ½ E(D(x) - b)² + ½ E(D(G(z)) - a)².  G: ½ E(D(G(z)) - c)²."""

    def __init__(self, options: LeastSquaresOptions) -> None:
        super().__init__()
        self.a, self.b, self.c = options.a, options.b, options.c
        self.factor = 0.5 if options.half else 1.0

    def discriminator(self, duel: Duel) -> Tensor:
        return self._distance(duel.on_real.logits, self.b) + self._distance(duel.on_fake.logits, self.a)

    def generator(self, duel: Duel) -> Tensor:
        return self._distance(duel.on_fake.logits, self.c)

    def read(self, logits: Tensor) -> Tensor:
        """0 for fake and 1 for real, whatever the targets; the optimal D says p / (p + q)."""
        return (logits - self.a) / (self.b - self.a)

    def _distance(self, logits: Tensor, target: float) -> Tensor:
        return self.factor * (logits - target).square().mean()
