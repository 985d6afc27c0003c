"""How large a batch should be: measured, because larger is not always faster.

On a GPU it is. On a CPU a batch of one may stay in the cache where one of thirty-two does not: a DCGAN of 64×64 pixels
takes half as long again for each picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

HANDOFF = 2.5e-4
"""Seconds that a batch costs outside the network on two busy cores: threads are woken, arrays are joined and cut."""
BUDGET = 1.0
"""Seconds to spend on finding out."""
REPEATS = 5
NEAR = 1.05
"""A batch this much slower than the best, per sample, is as good, and answers sooner."""


def best_batch(
    run: Callable[[Mapping[str, np.ndarray]], np.ndarray],
    feed: Callable[[int], Mapping[str, np.ndarray]],
    most: int,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """The smallest batch, of 1, 2, 4 … `most` samples, that is nearly the fastest for each of them.

    Args:
        run: the network; `feed` gives its inputs for so many samples.
    """
    start, cost, n = clock(), dict[int, float](), 1
    while n <= most and clock() - start < BUDGET:
        inputs = feed(n)
        cost[n] = (min(_seconds(run, inputs, clock) for _ in range(REPEATS)) + HANDOFF) / n
        n *= 2
    best = min(cost.values())
    return next(n for n, seconds in cost.items() if seconds <= NEAR * best)


def _seconds(
    run: Callable[[Mapping[str, np.ndarray]], np.ndarray], feed: Mapping[str, np.ndarray], clock: Callable[[], float]
) -> float:
    start = clock()
    run(feed)
    return clock() - start
