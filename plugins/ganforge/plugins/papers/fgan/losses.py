"""Equations 6 and 7 of Nowozin, Cseke and Tomioka (arXiv 1606.00709), for the divergences of their table 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganforge.core.game import Duel, LossModule
from ganforge.plugins.papers.fgan import Divergence, DivergenceOptions

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Functions:
    """What a divergence makes of the critic's output v, value by value.

    `activation` is T = g_f(v) (table 2), whose range is the domain of the conjugate f*. `conjugate` is f*(g_f(v)),
    simplified, so that no exponential is undone by a logarithm. `probability` is r / (1 + r) for the ratio
    r = p / q whose f'(r) is T: one half at the paper's threshold, T = f'(1).
    """

    activation: Function
    conjugate: Function
    probability: Function


def _pearsons_probability(v: Tensor) -> Tensor:
    ratio = (1 + v / 2).relu()  # T below -2 = f'(0) belongs to no ratio
    return ratio / (1 + ratio)


LOG2 = math.log(2)

DIVERGENCES: dict[Divergence, Functions] = {
    "kl": Functions(lambda v: v, lambda v: (v - 1).exp(), lambda v: (v - 1).sigmoid()),
    "reverse-kl": Functions(lambda v: -(-v).exp(), lambda v: v - 1, torch.sigmoid),
    "pearson": Functions(lambda v: v, lambda v: v.square() / 4 + v, _pearsons_probability),
    "squared-hellinger": Functions(lambda v: -(-v).expm1(), torch.expm1, lambda v: (2 * v).sigmoid()),
    "jensen-shannon": Functions(lambda v: LOG2 - softplus(-v), lambda v: softplus(v) - LOG2, torch.sigmoid),
    "gan": Functions(lambda v: -softplus(-v), softplus, torch.sigmoid),
}
"""`jensen-shannon` is twice the usual divergence, as the paper's f makes it; `gan` is that less log 4."""


class FDivergence(LossModule):
    """F = E T(x) - E f*(T(G(z))), which bounds D_f(P‖Q) from below: D maximises it and G minimises it.

    With `alternative`, G maximises E T(G(z)) instead, the paper's counterpart of -log D(G(z)).
    """

    def __init__(self, options: DivergenceOptions) -> None:
        super().__init__()
        self.functions, self.alternative = DIVERGENCES[options.divergence], options.alternative

    def discriminator(self, duel: Duel) -> Tensor:
        on_real, on_fake = duel.on_real.logits, duel.on_fake.logits
        return self.functions.conjugate(on_fake).mean() - self.functions.activation(on_real).mean()

    def generator(self, duel: Duel) -> Tensor:
        bound = self.functions.activation if self.alternative else self.functions.conjugate
        return -bound(duel.on_fake.logits).mean()

    def read(self, logits: Tensor) -> Tensor:
        """D(x), the probability that x is real, from the ratio p / q that T stands for."""
        return self.functions.probability(logits)
