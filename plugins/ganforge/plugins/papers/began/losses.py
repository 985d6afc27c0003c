"""The objective of Berthelot, Schumm and Metz (arXiv 1703.10717, section 3.3) and its convergence measure."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core.game import Duel, LossModule, Step
from ganforge.plugins.papers.began import EquilibriumOptions


class Equilibrium(LossModule):
    """D: E L(x) - k E L(G(z)).  G: E L(G(z)).  k ← k + λ (γ E L(x) - E L(G(z))), kept in [0, 1], from 0.

    L is the critic's output, an error and never negative; where another critic's falls below zero it counts as
    zero. k follows each move of the discriminator, by the errors of that very move: the paper takes those of the
    generator's fakes, another draw of the same distribution.
    """

    k: Tensor

    def __init__(self, options: EquilibriumOptions) -> None:
        super().__init__()
        self.gamma, self.rate = options.gamma, options.rate
        self.register_buffer("k", torch.zeros(()))

    def discriminator(self, duel: Duel) -> Tensor:
        return duel.on_real.logits.relu().mean() - self.k * duel.on_fake.logits.relu().mean()

    def generator(self, duel: Duel) -> Tensor:
        return duel.on_fake.logits.relu().mean()

    def after_step(self, step: Step) -> None:
        if step.player.role == "discriminator":
            _, imbalance = self._balance(step)
            self.k.add_(self.rate * imbalance).clamp_(0, 1)

    def scalars(self, step: Step) -> dict[str, Tensor]:
        """k, and M = E L(x) + |γ E L(x) - E L(G(z))|, which falls as the training converges (section 3.4.1)."""
        if step.player.role != "discriminator":
            return {}
        real, imbalance = self._balance(step)
        return {"k": self.k, "convergence": real + imbalance.abs()}

    def _balance(self, step: Step) -> tuple[Tensor, Tensor]:
        """E L(x) and γ E L(x) - E L(G(z))."""
        real, fake = (step.mean(critique.logits.relu()) for critique in (step.on_real, step.on_fake))
        return real, self.gamma * real - fake
