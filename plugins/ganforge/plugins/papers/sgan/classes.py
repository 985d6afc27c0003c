"""A classifier of K classes as a discriminator: section 5 of Salimans et al. (arXiv 1606.03498)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ganforge.core import Built
from ganforge.core.game import Critique
from ganforge.plugins.blocks.labelled import Labelled, features_of


def discriminator(built: Built, make: Callable[[Built], nn.Module]) -> nn.Module:
    """The architecture's discriminator as a classifier; only its features are used."""
    inner = make(built)
    return KPlusOne(inner, features_of(inner, built).flatten(1).shape[1], len(built.data.classes))


class KPlusOne(Labelled):
    """Log-odds l [N, K] of the classes, linear in the features, in `aux["classes"]`; the K+1st, of a fake, is 0.

    So the probability of being real is D(x) = Z / (Z + 1) with Z = Σ exp l, and the logit of that is log Z: any loss
    on logits is the unsupervised part. Labels are not looked at.
    """

    def __init__(self, inner: nn.Module, width: int, classes: int) -> None:
        super().__init__(inner)
        self.classes = nn.Linear(width, classes)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        critique: Critique = self.inner(x)
        assert critique.features is not None
        classes = self.classes(critique.features.flatten(1)).float()
        return critique._replace(logits=classes.logsumexp(dim=1), aux={**critique.aux, "classes": classes})
