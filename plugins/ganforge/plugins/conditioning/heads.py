"""What a discriminator can do with labels beside judging: projection and classification of its features."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganforge.core import Built, GanforgeError
from ganforge.core.game import Critique, Duel, Effect, Game, Role
from ganforge.plugins.blocks.labelled import Labelled, features_of

Make = Callable[[Built], nn.Module]

NAMELESS = frozenset(("none", "concat", "embedding", "projection"))  # conditionings that name no class
NO_CLASSES = (
    "regularizer 'auxiliary-classifier' needs a discriminator that names classes: "
    "set discriminator.conditioning=auxiliary-classifier, or regularizers.auxiliary-classifier=false"
)


def projection(built: Built, make: Make) -> nn.Module:
    """The architecture's discriminator with Miyato and Koyama's projection (arXiv 1802.05637)."""
    inner = make(built)
    width = pooled(features_of(inner, built)).shape[1]
    return Projection(inner, len(built.data.classes), width)


def classifier(built: Built, make: Make) -> nn.Module:
    """The architecture's discriminator with a classifier on its features (Odena et al., arXiv 1610.09585)."""
    inner = make(built)
    width = features_of(inner, built).flatten(1).shape[1]
    return Classifier(inner, len(built.data.classes), width)


class Projection(Labelled):
    """D(x, y) = D(x) + yᵀV φ(x): equation 3. φ are the features, maps summed over their places."""

    def __init__(self, inner: nn.Module, classes: int, width: int) -> None:
        super().__init__(inner)
        self.embedding = nn.Embedding(classes, width)
        nn.init.xavier_uniform_(self.embedding.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Critique:
        critique: Critique = self.inner(x)
        assert critique.features is not None
        fit = (self.embedding(labels) * pooled(critique.features)).sum(dim=1)
        columns = fit.unflatten(0, (-1, *[1] * (critique.logits.dim() - 1)))
        return critique._replace(logits=critique.logits + columns)


class Classifier(Labelled):
    """D(x), and the class as log-odds [N, classes] in `aux["classes"]`, linear in the features."""

    def __init__(self, inner: nn.Module, classes: int, width: int) -> None:
        super().__init__(inner)
        self.classes = nn.Linear(width, classes)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        critique: Critique = self.inner(x)
        assert critique.features is not None
        classes = self.classes(critique.features.flatten(1))
        return critique._replace(aux={**critique.aux, "classes": classes.float()})


class ClassLoss(Effect):
    """L_C, the log-likelihood of the right class, which both players maximise (section 3).

    D learns it from reals and fakes, G from its fakes. The paper's weight is 1.
    """

    roles: frozenset[Role] = frozenset(("discriminator", "generator"))

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def attach(self, game: Game) -> None:
        if game.config.discriminator.conditioning.name in NAMELESS:
            raise GanforgeError(NO_CLASSES)

    def penalty(self, duel: Duel) -> Tensor:
        loss = class_loss(duel.on_fake, duel.fake_labels)
        if duel.player.role == "discriminator":
            loss = loss + class_loss(duel.on_real, duel.real_labels)
        return self.weight * loss


def class_loss(critique: Critique, labels: Tensor | None) -> Tensor:
    """-log P(class = y), the mean over the batch."""
    if "classes" not in critique.aux or labels is None:
        raise GanforgeError(NO_CLASSES)
    return cross_entropy(critique.aux["classes"], labels)


def pooled(features: Tensor) -> Tensor:
    """[N, C, h, w] or [N, C] to [N, C]: maps summed over their places."""
    return features.flatten(2).sum(dim=2) if features.dim() > 2 else features
