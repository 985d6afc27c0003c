"""R1 and R2 of Mescheder et al. (arXiv 1801.04406, section 4.1). They share the loss's forward passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganforge.core.game import Duel, Effect
from ganforge.plugins.blocks.penalties import input_gradients
from ganforge.plugins.tricks.zero_centred_penalty import ZeroCentredOptions

if TYPE_CHECKING:
    from torch import Tensor


class ZeroCentred(Effect):
    """What both have: γ, the role, and laziness."""

    roles = frozenset({"discriminator"})
    differentiates_twice = True

    def __init__(self, options: ZeroCentredOptions) -> None:
        super().__init__()
        self.gamma, self.every = options.gamma, options.every

    def cost(self, gradients: Tensor) -> Tensor:
        """γ/2 E‖∇D‖² of gradients [N, d]."""
        return self.gamma / 2 * gradients.square().sum(dim=1).mean()


class R1(ZeroCentred):
    """γ/2 E‖∇D(x)‖² on real data (equation 9)."""

    def penalty(self, duel: Duel) -> Tensor:
        return self.cost(input_gradients(duel, duel.on_real, duel.real))


class R2(ZeroCentred):
    """γ/2 E‖∇D(G(z))‖² on fakes (equation 10)."""

    def penalty(self, duel: Duel) -> Tensor:
        return self.cost(input_gradients(duel, duel.on_fake, duel.fake))
