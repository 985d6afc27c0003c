"""What something took: on the clock, and of CPU."""

from __future__ import annotations

import time
from typing import NamedTuple


class Time(NamedTuple):
    """Seconds on the clock, and of CPU over all threads of this process."""

    clock: float
    cpu: float

    @classmethod
    def now(cls) -> Time:
        """Since some moment; two of them tell what passed between."""
        return cls(time.monotonic(), time.process_time())

    def since(self, before: Time) -> Time:
        return Time(self.clock - before.clock, self.cpu - before.cpu)
