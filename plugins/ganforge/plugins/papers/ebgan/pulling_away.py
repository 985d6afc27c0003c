"""The pulling-away term: equation 4 of Zhao, Mathieu and LeCun (arXiv 1609.03126, section 2.4)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from ganforge.core import GanforgeError
from ganforge.core.game import Duel, Effect, Role


class PullingAway(Effect):
    """Pushes the codes of a batch of fakes apart: weight · mean over i ≠ j of cos²(S_i, S_j).

    S are the critic's features, of an autoencoder the code. The term is the generator's alone.
    """

    roles: frozenset[Role] = frozenset({"generator"})

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def penalty(self, duel: Duel) -> Tensor:
        codes = duel.on_fake.features
        if codes is None:
            raise GanforgeError(
                "regularizer 'pulling-away' needs a discriminator that offers features, which this architecture's "
                "does not: try --set architecture=ebgan"
            )
        return self.weight * pulling_away(duel.gather(codes.flatten(1).float()))


def pulling_away(codes: Tensor) -> Tensor:
    """f_PT of codes [N, s], a scalar in [0, 1]; N of at least two."""
    n = len(codes)
    unit = normalize(codes, dim=1)
    squares = (unit @ unit.T).square()
    return (squares.sum() - squares.diagonal().sum()) / (n * (n - 1))
