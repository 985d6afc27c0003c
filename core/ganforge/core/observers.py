"""What watches a run. An observer reads and writes beside the game; it never changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ganforge.core.config import Config
from ganforge.core.data import DataSpec
from ganforge.core.specs import Reading

Record = Mapping[str, float]
"""One line of metrics.jsonl: `round`, `images`, `epoch`, `seconds` since the line before,
`images_per_second`, `d_real`, `d_fake`,
`diversity` (spread of the fakes over that of the reals; 0 is one picture), and `loss/PLAYER`,
`gradient_norm/PLAYER`, `penalty/REGULARIZER` for each player and penalty; `PART/NAME` for what a loss or
an effect logs by its `scalars`."""


@dataclass(frozen=True)
class RunInfo:
    """What an observer may know of a run when it starts. `start` is the round it continues from."""

    directory: Path
    config: Config
    data: DataSpec
    data_size: int
    reading: Reading
    start: int


class RunObserver:
    """Base of observers: override what matters. A raising observer stops the run, so catch what may fail."""

    def run_started(self, info: RunInfo) -> None:
        """Before the first round, also after a resume: drop what lies beyond `info.start`."""

    def step_logged(self, record: Record) -> None:
        """Every `log_every` rounds."""

    def snapshot_saved(self, round_: int, picture: Path) -> None:
        """A sample picture from the fixed latents was written."""

    def run_finished(self, status: str) -> None:
        """`finished`, `interrupted`, or `failed: REASON`; everything in the directory is written."""
