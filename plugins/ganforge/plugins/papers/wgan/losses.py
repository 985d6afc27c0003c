"""The Wasserstein losses: equation 2 of Arjovsky et al. (arXiv 1701.07875), as minimised in Algorithm 1."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Duel, LossModule


class Wasserstein(LossModule):
    """D: E D(G(z)) - E D(x), minus the distance's estimate.  G: -E D(G(z))."""

    def discriminator(self, duel: Duel) -> Tensor:
        return duel.on_fake.logits.mean() - duel.on_real.logits.mean()

    def generator(self, duel: Duel) -> Tensor:
        return -duel.on_fake.logits.mean()
