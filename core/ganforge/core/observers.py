"""What watches a run. An observer reads and writes beside the game; it never changes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.core.config import Config
from ganforge.core.data import Data, DataSpec, Split
from ganforge.core.errors import GanforgeError
from ganforge.core.registry import Registry, default_registry
from ganforge.core.specs import Reading

if TYPE_CHECKING:
    from ganforge.core.game import Game

Record = Mapping[str, float]
"""One line of metrics.jsonl: `round`, `images`, `epoch`, `seconds` that its rounds took and `cpu_seconds` of them over
all threads, `images_per_second`, `d_real`, `d_fake`, `diversity` (spread of the fakes over that of the reals; 0 is one
picture), and `loss/PLAYER`, `gradient_norm/PLAYER`, `penalty/REGULARIZER` for each player and penalty; `PART/NAME` for
what a loss or an effect logs by its `scalars`; whatever observers measure."""


def _no_data(split: Split) -> Data:
    raise GanforgeError(f"this run knows no {split} split")


@dataclass(frozen=True)
class RunInfo:
    """What an observer may know of a run when it starts. `start` is the round it continues from; `load` gives a split
    of its data."""

    directory: Path
    config: Config
    data: DataSpec
    data_size: int
    reading: Reading
    start: int
    load: Callable[[Split], Data] = field(default_factory=lambda: _no_data)
    registry: Registry = field(default_factory=default_registry)


class RunObserver:
    """Base of observers: override what matters. A raising observer stops the run, so catch what may fail."""

    def check(self, info: RunInfo, game: Game) -> None:
        """Before anything is written: raise GanforgeError for what cannot work."""

    def run_started(self, info: RunInfo) -> None:
        """Before the first round, also after a resume: drop what lies beyond `info.start`."""

    def measure(self, game: Game, round_: int) -> Mapping[str, float]:
        """Figures of its own for the record of a round that is logged; the game must be as it was afterwards."""
        return {}

    def step_logged(self, record: Record) -> None:
        """Every `log_every` rounds."""

    def snapshot_saved(self, round_: int, picture: Path) -> None:
        """A sample picture from the fixed latents was written."""

    def run_finished(self, status: str) -> None:
        """`finished`, `interrupted`, or `failed: REASON`; everything in the directory is written."""
