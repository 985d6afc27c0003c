"""The generator's objective of Salimans et al. (arXiv 1606.03498, section 3.1)."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Critique, Duel, Effect, Game
from ganforge.plugins.blocks.attaching import critique_shapes, networks_of
from ganforge.plugins.tricks.feature_matching import FeatureMatchingOptions


class FeatureMatching(Effect):
    """‖E f(x) - E f(G(z))‖² with f the critic's features and both means over the global batch.

    f is what the architecture gives as features, whole (the paper: "an intermediate layer"). The published code has
    the mean over features where the equation has their sum, for CIFAR-10 of the absolute differences. With
    `accumulate` the means are over a piece.
    """

    roles = frozenset({"generator"})

    def __init__(self, options: FeatureMatchingOptions) -> None:
        super().__init__()
        self.replaces, self.weight = not options.added, options.weight

    def attach(self, game: Game) -> None:
        for name in networks_of(game, "discriminator"):
            critique_shapes(game, name, "feature-matching")

    def penalty(self, duel: Duel) -> Tensor:
        real, fake = (duel.mean(_features(critique)) for critique in (duel.on_real, duel.on_fake))
        return self.weight * (real - fake).square().sum()


def _features(critique: Critique) -> Tensor:
    assert critique.features is not None
    return critique.features.flatten(1)
