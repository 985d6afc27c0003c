"""Equations 1 and 2 of Zhao, Mathieu and LeCun (arXiv 1609.03126)."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Duel, LossModule


class EnergyMargin(LossModule):
    """D: E D(x) + E max(0, m - D(G(z))).  G: E D(G(z)).

    The paper's energies are never negative. A critic that is no autoencoder, or adds a projection, may fall below
    zero: for the player who lowers it that counts as zero, so that neither can fall without end.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def discriminator(self, duel: Duel) -> Tensor:
        return duel.on_real.logits.relu().mean() + (self.margin - duel.on_fake.logits).relu().mean()

    def generator(self, duel: Duel) -> Tensor:
        return duel.on_fake.logits.relu().mean()
