"""The penalty of Kodali et al. (arXiv 1705.07215, section 2.3), with the noise of the authors' code."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Duel, Effect
from ganforge.plugins.blocks.penalties import input_gradients
from ganforge.plugins.papers.dragan import DraganOptions


class Dragan(Effect):
    """λ E(‖∇D(x + αδ)‖₂ - k)² around real x, with D's logits.

    δ = ½ std(X) u with u ~ U[0, 1) for each value, where std(X) is one number, over all values of the batch; and
    α ~ U[0, 1) for each sample, a point between x and its perturbed self. (The paper: δ ~ N(0, cI), no α.)
    """

    roles = frozenset({"discriminator"})
    differentiates_twice = True

    def __init__(self, options: DraganOptions) -> None:
        super().__init__()
        self.weight, self.target, self.noise = options.weight, options.target, options.noise

    def penalty(self, duel: Duel) -> Tensor:
        near = self.perturbed(duel, duel.real.detach()).requires_grad_()
        norms = input_gradients(duel, duel.critique(near, duel.real_labels), near).norm(dim=1)
        return self.weight * (norms - self.target).square().mean()

    def perturbed(self, duel: Duel, x: Tensor) -> Tensor:
        """x + αδ of samples x [N, *shape]."""
        draw = duel.draw.scoped("dragan")
        delta = self.noise * std(duel, x) * draw.uniform("delta", *x.shape[1:])
        return x + draw.uniform("alpha", *[1] * (x.dim() - 1)) * delta


def std(duel: Duel, x: Tensor) -> Tensor:
    """The standard deviation of all values of the global batch, a scalar."""
    mean = duel.mean(x).mean()
    return duel.mean((x - mean).square()).mean().sqrt()
