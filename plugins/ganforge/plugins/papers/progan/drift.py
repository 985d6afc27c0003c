"""The drift penalty of Karras et al. (arXiv 1710.10196, appendix A.1)."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Duel, Effect
from ganforge.plugins.papers.progan import DriftOptions


class Drift(Effect):
    """ε E D(x)² over real images: a critic's scores have no level of their own, and would drift."""

    roles = frozenset({"discriminator"})

    def __init__(self, options: DriftOptions) -> None:
        super().__init__()
        self.weight = options.weight

    def penalty(self, duel: Duel) -> Tensor:
        return self.weight * duel.on_real.logits.square().mean()
