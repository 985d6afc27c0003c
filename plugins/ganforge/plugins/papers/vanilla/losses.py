"""Equation 1 of Goodfellow et al. (arXiv 1406.2661) on logits, and section 3's gradient for the generator.

With D = sigmoid(logit), -log D = softplus(-logit) and -log(1 - D) = softplus(logit), which neither overflow
nor lose the small end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganforge.core.draw import Draw
from ganforge.core.game import Duel, LossModule
from ganforge.plugins.papers.vanilla import CrossEntropyOptions

Side = Literal["real", "fake"]

TARGETS: dict[str, dict[Side, tuple[float, float]]] = {
    "none": {"real": (1.0, 1.0), "fake": (0.0, 0.0)},
    "one-sided": {"real": (0.9, 0.9), "fake": (0.0, 0.0)},
    "two-sided": {"real": (0.9, 0.9), "fake": (0.1, 0.1)},
    "random": {"real": (0.7, 1.2), "fake": (0.0, 0.3)},
}
"""For each smoothing, the range from which the discriminator's targets are drawn, each logit its own."""


def cross_entropy(logits: Tensor, target: Tensor | float) -> Tensor:
    """Mean of -t log D - (1 - t) log(1 - D) over logits of any shape; t is one number or one per logit.

    Each half is weighed by itself, so that a target above 1 (a negative weight) is as valid as any other, and
    a target of exactly 0 or 1 keeps full relative precision at any logit.
    """
    return (target * softplus(-logits) + (1 - target) * softplus(logits)).mean()


class CrossEntropy(LossModule):
    """The discriminator's side of both losses: tell real from fake, -V(D, G) when labels are plain."""

    def __init__(self, options: CrossEntropyOptions) -> None:
        super().__init__()
        self.targets, self.flip = TARGETS[options.smoothing], options.flip

    def discriminator(self, duel: Duel) -> Tensor:
        draw, real, fake = duel.draw.scoped("loss"), duel.on_real.logits, duel.on_fake.logits
        on_real = cross_entropy(real, self.target(draw, "real", real.shape))
        return on_real + cross_entropy(fake, self.target(draw, "fake", fake.shape))

    def target(self, draw: Draw, side: Side, shape: torch.Size) -> Tensor | float:
        """What the discriminator is told of one side: a number for all, or one for each logit of that shape.

        A critic may have several logits for a sample, or one for several samples: each logit is told its own.
        A flipped one is told the other side's target, however that is smoothed.
        """
        draw = replace(draw, n=shape[0])
        told = self._smooth(draw, side, side, shape)
        if not self.flip:
            return told
        flipped = draw.uniform(f"{side}/flip", *shape[1:]) < self.flip
        return torch.where(flipped, self._smooth(draw, side, "fake" if side == "real" else "real", shape), told)

    def read(self, logits: Tensor) -> Tensor:
        """D(x), the probability that x is real."""
        return logits.sigmoid()

    def _smooth(self, draw: Draw, side: Side, told: Side, shape: torch.Size) -> Tensor | float:
        low, high = self.targets[told]
        return low if low == high else low + (high - low) * draw.uniform(f"{side}/target", *shape[1:])


class Minimax(CrossEntropy):
    """Both players on V(D, G) = E log D(x) + E log(1 - D(G(z))), the paper's equation 1."""

    def generator(self, duel: Duel) -> Tensor:
        return -softplus(duel.on_fake.logits).mean()


class NonSaturating(CrossEntropy):
    """The generator minimises -log D(G(z)): the same fixed point, and a gradient while D wins (section 3)."""

    def generator(self, duel: Duel) -> Tensor:
        return softplus(-duel.on_fake.logits).mean()
