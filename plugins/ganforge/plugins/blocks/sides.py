"""What metrics of features share: how many samples each side has, and the features kept of both."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.evaluation import Case, Judged


def counts(case: Case) -> dict[str, int]:
    """Samples of each side, by what errors call it: fewer real ones where the data has no more."""
    return {"generated": case.samples, "real": min(case.samples, len(case.data))}


def require(option: str, value: int, counts: Mapping[str, int], beyond: int = 0) -> None:
    """See that sides have as many samples as the value of an option and `beyond` that.

    Raises:
        GanforgeError: one has fewer.
    """
    for side, count in counts.items():
        if count < value + beyond:
            raise GanforgeError(
                f"option '{option}' of {value} needs at least {value + beyond} {side} samples, not {count}; "
                f"try --set {option}={count - beyond}"
            )


class Sides:
    """Keeps features float32 [n, dim] of both sides."""

    def __init__(self) -> None:
        self._kept: dict[bool, list[Tensor]] = {True: [], False: []}

    def update(self, batch: Judged, real: bool) -> None:
        assert batch.features is not None
        self._kept[real].append(batch.features)

    @property
    def real(self) -> Tensor:
        return torch.cat(self._kept[True])

    @property
    def generated(self) -> Tensor:
        return torch.cat(self._kept[False])

    def exact(self, *, real: bool) -> Tensor:
        """One side's features in float64 [n, dim], written where they stay: there is no float32 copy on the way."""
        kept = self._kept[real]
        return torch.cat(kept, out=torch.empty(sum(map(len, kept)), kept[0].shape[1], dtype=torch.float64))
