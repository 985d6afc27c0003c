"""The samples gathered, and scored once they are all there."""

from __future__ import annotations

import numpy as np

from ganforge.core import Data
from ganforge.core.evaluation import Judged
from ganforge.plugins.metrics.modes import score


class Modes:
    """Generated points against the mixture of the data; real ones are not looked at."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.points: list[np.ndarray] = []

    def update(self, batch: Judged, real: bool) -> None:
        if not real:
            assert batch.samples is not None
            self.points.append(batch.samples.cpu().numpy())

    def compute(self) -> dict[str, float]:
        return score(np.concatenate(self.points), self.data)
