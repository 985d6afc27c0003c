"""The losses of Jolicoeur-Martineau (arXiv 1807.00734, Algorithms 1 and 2), for C = D's logits.

Each kind is one function f of "how much more real": D minimises f of real against fake and, in the average
form, f of the opposite of fake against real; G minimises the same with the sides exchanged.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import softplus

from ganforge.core.game import Duel, LossModule
from ganforge.plugins.papers.relativistic import RelativisticOptions

KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "standard": lambda more: softplus(-more),  # -log sigmoid
    "least-squares": lambda more: (more - 1).square(),
    "hinge": lambda more: (1 - more).relu(),
}


class Relativistic(LossModule):
    """RpGAN.  D: E f(C(x) - C(G(z))).  G: E f(C(G(z)) - C(x)), over pairs of a real x and a fake G(z)."""

    def __init__(self, options: RelativisticOptions) -> None:
        super().__init__()
        self.f = KINDS[options.base]

    def discriminator(self, duel: Duel) -> Tensor:
        return self.f(duel.on_real.logits - duel.on_fake.logits).mean()

    def generator(self, duel: Duel) -> Tensor:
        return self.f(duel.on_fake.logits - duel.on_real.logits).mean()


class RelativisticAverage(LossModule):
    """RaGAN, with R(x) = C(x) - E C(G(z)) and R(G(z)) = C(G(z)) - E C(x).

    D: E f(R(x)) + E f(-R(G(z))).  G: E f(-R(x)) + E f(R(G(z))). Averages are over the batch of all processes.
    The authors' code halves both sums, which their equations do not.
    """

    def __init__(self, options: RelativisticOptions) -> None:
        super().__init__()
        self.f = KINDS[options.base]

    def discriminator(self, duel: Duel) -> Tensor:
        real, fake = relative(duel)
        return self.f(real).mean() + self.f(-fake).mean()

    def generator(self, duel: Duel) -> Tensor:
        real, fake = relative(duel)
        return self.f(-real).mean() + self.f(fake).mean()


def relative(duel: Duel) -> tuple[Tensor, Tensor]:
    """Logits of reals and of fakes, each less the other side's average: [N] or [N, k], column by column."""
    real, fake = duel.on_real.logits, duel.on_fake.logits
    return real - duel.mean(fake), fake - duel.mean(real)
