"""L_supervised of Salimans et al. (arXiv 1606.03498, section 5): a classifier's loss on the few labelled samples."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganforge.core import GanforgeError
from ganforge.core.data import Data
from ganforge.core.draw import hash64
from ganforge.core.game import Duel, Effect, Game, Role
from ganforge.plugins.papers.sgan import LabelledOptions

CHUNK = 1000


class LabelledLoss(Effect):
    """-E log p(y | x, x is real) over a fixed set of labelled samples, in D's loss.

    Each move sees as many of them as of the others, drawn with replacement. No other label is ever read.
    """

    roles: frozenset[Role] = frozenset({"discriminator"})

    def __init__(self, options: LabelledOptions) -> None:
        super().__init__()
        self.labelled, self.weight = options.labelled, options.weight
        self._pool: np.ndarray | None = None  # not state: a function of data and seed, found again after a resume

    def attach(self, game: Game) -> None:
        if game.config.discriminator.conditioning.name != "semi-supervised":
            raise GanforgeError(
                "regularizer 'semi-supervised' needs a discriminator that is a classifier: "
                "set discriminator.conditioning=semi-supervised"
            )
        if self.labelled % len(game.data.classes):
            raise GanforgeError(
                f"option 'regularizers.semi-supervised.labelled': {self.labelled} labels cannot be shared equally "
                f"among {len(game.data.classes)} classes; give a multiple"
            )

    def penalty(self, duel: Duel) -> Tensor:
        draw = duel.draw.scoped("labelled")
        if self._pool is None:
            self._pool = labelled_samples(draw.stream.data, self.labelled, draw.seed)
        chosen = self._pool[draw.integers("place", len(self._pool)).cpu().numpy()]
        samples, labels = duel.step.game.real(draw, duel.step.clock, chosen)
        assert labels is not None
        return self.weight * cross_entropy(duel.critique(samples, labels, name="labelled").aux["classes"], labels)


def labelled_samples(data: Data, n: int, seed: int) -> np.ndarray:
    """Which samples have labels, int64 [n], as many of each class: a pure function of data and seed.

    Raises:
        GanforgeError: a class has too few samples.
    """
    classes = len(data.spec.classes)
    order = np.random.Generator(np.random.PCG64(hash64(seed, "labelled"))).permutation(len(data))
    found: list[list[int]] = [[] for _ in range(classes)]
    for chunk in np.split(order, range(CHUNK, len(order), CHUNK)):
        labels = data.fetch(chunk)[1]
        assert labels is not None
        for index, label in zip(chunk, labels, strict=True):
            found[label].append(int(index))
        if min(map(len, found)) >= n // classes:
            return np.array([index for of_class in found for index in of_class[: n // classes]])
    fewest = min(map(len, found))
    raise GanforgeError(
        f"option 'regularizers.semi-supervised.labelled': {n} labels are {n // classes} of each class, and one class "
        f"has {fewest} samples"
    )
