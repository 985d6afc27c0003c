"""The penalty of equation 3 of Gulrajani et al. (arXiv 1704.00028)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.config import UNCONDITIONED
from ganforge.core.game import Duel, Effect, Game
from ganforge.plugins.blocks.penalties import input_gradients
from ganforge.plugins.papers.wgan_gp import PenaltyOptions


class GradientPenalty(Effect):
    """λ E(‖∇D(x̂)‖₂ - 1)², with x̂ = εx + (1 - ε)G(z) and ε ~ U[0, 1], one for each pair.

    Of labelled data both of a pair are of one class, as in the authors' code: a critic that takes labels is held to
    the slope on the lines within each class.
    """

    roles = frozenset({"discriminator"})
    differentiates_twice = True
    pairs_labels = True

    def __init__(self, options: PenaltyOptions) -> None:
        super().__init__()
        self.weight, self.target, self.one_sided = options.weight, options.target, options.one_sided

    def attach(self, game: Game) -> None:
        config = game.config
        labelled = config.discriminator.conditioning.name != UNCONDITIONED
        if labelled and (config.fakes, config.order) == ("shared", "generator-first"):
            raise GanforgeError(
                "regularizer 'gradient-penalty': a discriminator that takes labels wants fakes of the reals' classes, "
                "and shared ones are that only with order=discriminator-first"
            )

    def penalty(self, duel: Duel) -> Tensor:
        x, fake = duel.real.detach(), duel.fake.detach()
        epsilon = duel.draw.scoped("gradient-penalty").uniform("epsilon", *[1] * (x.dim() - 1))
        between = torch.lerp(fake, x, epsilon).requires_grad_()
        norms = input_gradients(duel, duel.critique(between, duel.real_labels), between).norm(dim=1)
        excess = norms - self.target
        return self.weight * (excess.relu() if self.one_sided else excess).square().mean()
