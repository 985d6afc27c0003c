"""The hinge loss: equations 16 and 17 of Miyato et al. (arXiv 1802.05957)."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Duel, LossModule


class Hinge(LossModule):
    """D: E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))).  G: -E D(G(z))."""

    def discriminator(self, duel: Duel) -> Tensor:
        return (1 - duel.on_real.logits).relu().mean() + (1 + duel.on_fake.logits).relu().mean()

    def generator(self, duel: Duel) -> Tensor:
        return -duel.on_fake.logits.mean()
