"""How far a comparison is, on stderr: a line for each stage of each training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ganforge.cli.common import warn
from ganforge.cli.progress import duration

Tell = Callable[[str], None]
"""Told what is happening to a training."""


class Progress:
    """Counts trainings. `guess` is how many seconds one takes, until one is finished; `jobs` run at once."""

    def __init__(self, total: int, guess: float, jobs: int) -> None:
        self.total, self.guess, self.jobs = total, guess, jobs
        self.began, self.started, self.finished = 0.0, 0, 0
        self._lock = threading.Lock()

    def start(self, title: str) -> Tell:
        """A voice for one more training."""
        with self._lock:
            self.began = self.began or time.monotonic()
            self.started += 1
            number = self.started

        def tell(what: str) -> None:
            warn(f"[{number}/{self.total}] {title} {what}; about {duration(self.left())} left")

        return tell

    def done(self) -> None:
        with self._lock:
            self.finished += 1

    def left(self) -> float:
        """Seconds until all is done, if it goes on as it went."""
        past = time.monotonic() - self.began
        if self.finished:
            return past / self.finished * (self.total - self.finished)
        return max(self.guess, self.guess * self.total / self.jobs - past)
