"""Batching without a window: who runs with whom, who is refused, and who leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from ganforge.core import GanforgeError
from ganforge.serve.batcher import Batcher, Feed
from ganforge.serve.errors import Busy, Refused
from ganforge.serve.pace import best_batch


class Network:
    """Doubles its input, when it is let: each `run` waits for one `go`. `seen` has the size of every batch."""

    def __init__(self, fails: Callable[[np.ndarray], bool] = lambda x: False) -> None:
        self.seen: list[int] = []
        self._fails = fails
        self._allowed = threading.Semaphore(0)

    def go(self, times: int = 1) -> None:
        self._allowed.release(times)

    def run(self, feed: Feed) -> np.ndarray:
        assert self._allowed.acquire(timeout=30)
        self.seen.append(len(feed["x"]))
        if self._fails(feed["x"]):
            raise GanforgeError("the network broke")
        return feed["x"] * 2


def rows(*values: float) -> Feed:
    return {"x": np.array(values, np.float32)[:, None]}


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 30))


async def settle() -> None:
    """Let everything that can happen without the network happen."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_an_idle_model_runs_at_once_and_what_queues_meanwhile_is_the_next_batch() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=8, max_queue=100)
        asked = [asyncio.create_task(batcher.run(rows(*range(n, 2 * n)))) for n in (1, 2, 3)]
        await settle()
        assert batcher.queued == 5
        network.go(2)
        for n, output in zip((1, 2, 3), await asyncio.gather(*asked), strict=True):
            np.testing.assert_array_equal(output[:, 0], 2 * np.arange(n, 2 * n))
        assert network.seen == [1, 5]
        assert batcher.queued == 0
        stats = batcher.stats
        assert (stats.images, stats.executions, stats.success.count, stats.queue.count) == (6, 2, 3, 3)
        assert {size: tally.count for size, tally in stats.batches.items()} == {1: 1, 5: 1}

    play(scene)


def test_a_batch_is_as_large_as_allowed_and_in_order_of_arrival() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=4, max_queue=100)
        asked = [asyncio.create_task(batcher.run(rows(*[n] * n))) for n in (1, 2, 3, 1, 4)]
        network.go(5)
        outputs = await asyncio.gather(*asked)
        assert [len(output) for output in outputs] == [1, 2, 3, 1, 4]
        assert network.seen == [1, 2, 4, 4]

    play(scene)


def test_requests_share_a_batch_up_to_its_usual_size_and_a_larger_one_has_its_own() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=8, usual_batch=2, max_queue=100)
        asked = [asyncio.create_task(batcher.run(rows(*[n] * n))) for n in (1, 1, 1, 5, 1)]
        network.go(4)
        await asyncio.gather(*asked)
        assert network.seen == [1, 2, 5, 1]

    play(scene)


def test_batches_run_at_once_as_many_as_there_are_threads_for() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=4, max_queue=2, at_once=2)
        asked = [asyncio.create_task(batcher.run(rows(n))) for n in range(4)]
        await settle()
        assert batcher.queued == 2  # the other two run
        with pytest.raises(Busy):
            await batcher.run(rows(9))
        network.go(3)
        assert [float(output[0, 0]) for output in await asyncio.gather(*asked)] == [0, 2, 4, 6]
        assert sorted(network.seen) == [1, 1, 2]

    play(scene)


def test_a_spoilt_batch_runs_again_on_every_free_thread() -> None:
    async def scene() -> None:
        network = Network(fails=lambda x: len(x) > 1)
        batcher = Batcher(network.run, max_batch=4, max_queue=8, at_once=2)
        asked = [asyncio.create_task(batcher.run(rows(n))) for n in range(4)]
        network.go(5)
        assert [float(output[0, 0]) for output in await asyncio.gather(*asked)] == [0, 2, 4, 6]

    play(scene)


def test_too_many_for_a_batch_is_the_client_s_mistake() -> None:
    async def scene() -> None:
        batcher = Batcher(Network().run, max_batch=2, max_queue=100)
        with pytest.raises(Refused, match=r"^a request may ask for 2 samples, not 3$") as caught:
            await batcher.run(rows(1, 2, 3))
        assert caught.value.status == 400

    play(scene)


def test_a_full_queue_refuses_and_what_it_took_is_answered() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=2, max_queue=3)
        asked = [asyncio.create_task(batcher.run(rows(n))) for n in range(4)]  # one runs, three wait
        await settle()
        with pytest.raises(Busy, match=r"^3 samples are waiting, and 3 may; try again in 1 s$") as caught:
            await batcher.run(rows(9))
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        network.go(3)
        outputs = await asyncio.gather(*asked)
        assert [float(output[0, 0]) for output in outputs] == [0, 2, 4, 6]
        assert batcher.stats.refused == 1
        network.go()
        await batcher.run(rows(9))

    play(scene)


def test_retry_after_is_the_time_the_queue_takes() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=1, max_queue=2)
        batcher.stats.ran(1, 5.0)
        asked = [asyncio.create_task(batcher.run(rows(n))) for n in range(3)]
        await settle()
        with pytest.raises(Busy) as caught:
            await batcher.run(rows(9))
        assert caught.value.headers == {"Retry-After": "10"}
        network.go(3)
        await asyncio.gather(*asked)

    play(scene)


def test_who_hangs_up_frees_the_place() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=4, max_queue=2)
        first, second, third = (asyncio.create_task(batcher.run(rows(n))) for n in range(3))
        await settle()
        second.cancel()
        await settle()
        assert batcher.queued == 1
        fourth = asyncio.create_task(batcher.run(rows(3)))
        network.go(2)
        await asyncio.gather(first, third, fourth)
        assert second.cancelled()
        assert network.seen == [1, 2]
        assert batcher.stats.abandoned == 1

    play(scene)


def test_who_hangs_up_while_it_runs_disturbs_nobody() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=4, max_queue=8)
        first = asyncio.create_task(batcher.run(rows(1)))
        second = asyncio.create_task(batcher.run(rows(2)))
        await settle()
        first.cancel()
        network.go(2)
        np.testing.assert_array_equal(await second, [[4]])

    play(scene)


def test_a_deadline_frees_the_place_too() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=4, max_queue=8)
        first = asyncio.create_task(batcher.run(rows(1)))
        await settle()
        past = asyncio.get_running_loop().time() - 1
        with pytest.raises(Busy, match=r"^there was no time for this request; try again in 1 s$"):
            await batcher.run(rows(2), past)
        assert batcher.queued == 0
        network.go()
        await first
        assert network.seen == [1]

    play(scene)


def test_only_the_request_that_spoils_a_batch_fails() -> None:
    async def scene() -> None:
        network = Network(fails=lambda x: bool((x == 13).any()))
        batcher = Batcher(network.run, max_batch=8, max_queue=8)
        asked = [asyncio.create_task(batcher.run(rows(n))) for n in (0, 1, 13, 2)]
        network.go(5)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [float(one[0, 0]) for one in outcomes if isinstance(one, np.ndarray)] == [0, 2, 4]
        (error,) = (one for one in outcomes if isinstance(one, Refused))
        assert (error.status, str(error)) == (500, "the network broke")
        assert network.seen == [1, 3, 1, 1, 1]
        assert (batcher.stats.fail.count, batcher.stats.success.count, batcher.queued) == (1, 3, 0)

    play(scene)


def test_a_batcher_that_is_dropped_still_answers() -> None:
    async def scene() -> None:
        network = Network()
        batcher = Batcher(network.run, max_batch=1, max_queue=8)
        asked = [asyncio.create_task(batcher.run(rows(n))) for n in range(3)]
        await settle()
        del batcher
        network.go(3)
        assert [float(one[0, 0]) for one in await asyncio.gather(*asked)] == [0, 2, 4]

    play(scene)


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        (lambda n: 0.01, 32),  # a GPU: a batch costs what one sample costs
        (lambda n: 0.01 * n, 1),  # nothing is gained
        (lambda n: 0.01 * n + (0.01 if n > 4 else 0.0) * n, 1),  # a batch that leaves the cache
        (lambda n: 0.01 + 0.01 * n, 16),  # 10.6 ms for each of 16, and 10.3 for each of 32 is hardly better
        (lambda n: 0.3 * n, 1),  # there was no time to try more
    ],
)
def test_the_best_batch_is_measured(seconds: Callable[[int], float], best: int) -> None:
    now = 0.0

    def run(feed: Feed) -> np.ndarray:
        nonlocal now
        now += seconds(len(feed["x"]))
        return feed["x"]

    assert best_batch(run, lambda n: rows(*range(n)), 32, clock=lambda: now) == best
