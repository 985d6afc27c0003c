"""Two threads in place of two processes: what batch statistics must not notice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

T = TypeVar("T")


class Shared(NamedTuple):
    """A duel of one of them: all that a statistic over the batch looks at."""

    mean: Callable[[Tensor], Tensor]
    on_real: Any = None
    on_fake: Any = None


def in_two(work: Callable[[int, Callable[[Tensor], Tensor]], T]) -> list[T]:
    """What `work(rank, mean)` returns in each, where `mean` is over the rows of both."""
    slots: dict[int, Tensor] = {}
    met = threading.Barrier(2, timeout=10)

    def mean(rank: int, tensor: Tensor) -> Tensor:
        slots[rank] = tensor.mean(dim=0)
        met.wait()
        both = (slots[0] + slots[1]) / 2
        met.wait()
        return both

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda rank: work(rank, lambda tensor: mean(rank, tensor)), range(2)))
