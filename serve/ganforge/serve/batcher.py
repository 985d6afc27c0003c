"""Requests in batches: what has queued while others ran is the next. No window is waited out.

An idle model takes a request at once; a window of two milliseconds would make a lone client three times slower.
On a processor two batches run at once: while one is joined or its threads wait for each other, the other computes.
"""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ganforge.core.errors import GanforgeError
from ganforge.serve.errors import Busy, Refused
from ganforge.serve.measures import ModelStats

Feed = Mapping[str, np.ndarray]


class Job:
    """One request's share of a batch: inputs [n, …] by name, and the promise of an output [n, …]."""

    __slots__ = ("alone", "arrived", "feed", "future", "n", "waiting")

    def __init__(self, feed: Feed, n: int, future: asyncio.Future[np.ndarray]) -> None:
        self.feed, self.n, self.future = feed, n, future
        self.arrived = time.perf_counter()
        self.waiting = True
        self.alone = False


class Batcher:
    """One model's queue. The network runs in threads of its own; all else happens in the event loop's."""

    def __init__(
        self,
        run: Callable[[Feed], np.ndarray],
        *,
        max_batch: int,
        max_queue: int,
        usual_batch: int | None = None,
        at_once: int = 1,
        stats: ModelStats | None = None,
    ) -> None:
        """Batch calls of `run`, which takes inputs [n, …] by name and gives an output [n, …]; it may block.

        Args:
            max_batch: samples that one request may ask for.
            max_queue: samples that may wait.
            usual_batch: samples up to which requests share a batch, by default `max_batch`; one that asks for more
                has a batch to itself.
            at_once: batches that run at the same time; `run` is called from as many threads.
        """
        self._run = run
        self._max_batch, self._max_queue = max_batch, max_queue
        self.usual_batch = usual_batch or max_batch
        self._waiting: deque[Job] = deque()
        self._free = at_once
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="ganforge-run")
        self.queued = 0
        """Samples that wait now."""
        self.stats = stats or ModelStats()

    async def run(self, feed: Feed, deadline: float | None = None) -> np.ndarray:
        """The output for `feed`, in a batch with whatever else is there.

        A caller that is cancelled frees its place. A batcher that is dropped still answers what it was given.

        Args:
            deadline: when to give up, in the event loop's time.

        Raises:
            Busy: the queue is full, or the deadline came first.
            Refused: the network failed on this input, or it is more than a batch may hold.
        """
        job = self._enqueue(feed)
        try:
            async with asyncio.timeout_at(deadline):
                output = await job.future
        except TimeoutError:
            self.stats.refused += 1
            raise Busy("there was no time for this request", self._patience()) from None
        except asyncio.CancelledError:
            self.stats.abandoned += 1
            raise
        except Refused:
            self.stats.fail.add(time.perf_counter() - job.arrived)
            raise
        finally:
            self._leave(job)
        self.stats.success.add(time.perf_counter() - job.arrived)
        self.stats.last = time.time()
        return output

    def check_room(self, n: int = 1) -> None:
        """Raise Busy where `n` more samples may not wait: under overload most requests need not be read to know it."""
        # What runs has left the queue, so a model with a free thread takes a request whatever the bound is.
        if not self._free and self.queued + n > self._max_queue:
            self.stats.refused += 1
            raise Busy(f"{self.queued} samples are waiting, and {self._max_queue} may", self._patience())

    def _enqueue(self, feed: Feed) -> Job:
        n = len(next(iter(feed.values())))
        if n > self._max_batch:
            raise Refused(400, f"a request may ask for {self._max_batch} samples, not {n}")
        self.check_room(n)
        job = Job(feed, n, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self.queued += n
        self._start()
        return job

    def _leave(self, job: Job) -> None:
        """Take a job that nobody waits for any more out of the queue."""
        if job.waiting:
            self._waiting.remove(job)
            self._left(job)

    def _left(self, job: Job) -> None:
        job.waiting = False
        self.queued -= job.n

    def _patience(self) -> int:
        """Whole seconds in which the queue should have emptied."""
        seconds = self.stats.infer.ns / 1e9 / max(1, self.stats.images)
        return max(1, math.ceil(self.queued * seconds))

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            jobs = self._take()
            done = asyncio.get_running_loop().run_in_executor(self._threads, self._timed, _joined(jobs))
            done.add_done_callback(functools.partial(self._finish, jobs))

    def _take(self) -> list[Job]:
        """The next batch, in the order of arrival."""
        jobs: list[Job] = []
        size, now = 0, time.perf_counter()
        while self._waiting and (not jobs or self._fits(self._waiting[0], jobs[0], size)):
            job = self._waiting.popleft()
            self._left(job)
            self.stats.waited(now - job.arrived)
            jobs.append(job)
            size += job.n
        return jobs

    def _fits(self, job: Job, first: Job, size: int) -> bool:
        return size + job.n <= self.usual_batch and not (job.alone or first.alone) and _alike(job, first)

    def _timed(self, feed: Feed) -> tuple[np.ndarray, float]:
        start = time.perf_counter()
        return self._run(feed), time.perf_counter() - start

    def _finish(self, jobs: list[Job], done: asyncio.Future[tuple[np.ndarray, float]]) -> None:
        error = done.exception()
        self._free += 1
        if error and len(jobs) > 1:
            self._again(jobs)
        self._start()  # first, so that the network works while answers are written
        if error and len(jobs) == 1:
            _fail(jobs[0], error)
        elif not error:
            output, seconds = done.result()
            self.stats.ran(len(output), seconds)
            _deliver(jobs, output)

    def _again(self, jobs: list[Job]) -> None:
        """One of several spoilt the batch: each runs alone, so that only it fails."""
        for job in reversed([job for job in jobs if not job.future.done()]):
            job.alone = job.waiting = True
            self.queued += job.n
            self._waiting.appendleft(job)


def _alike(job: Job, first: Job) -> bool:
    """Whether two jobs' rows go into one array: pictures to translate have the size they have."""
    return all(job.feed[name].shape[1:] == rows.shape[1:] for name, rows in first.feed.items())


def _joined(jobs: list[Job]) -> Feed:
    if len(jobs) == 1:
        return jobs[0].feed
    return {name: np.concatenate([job.feed[name] for job in jobs]) for name in jobs[0].feed}


def _deliver(jobs: list[Job], output: np.ndarray) -> None:
    at = 0
    for job in jobs:
        if not job.future.done():
            job.future.set_result(output[at : at + job.n])
        at += job.n


def _fail(job: Job, error: BaseException) -> None:
    if not job.future.done():
        sentence = str(error) if isinstance(error, GanforgeError) else f"the model failed: {type(error).__name__}"
        job.future.set_exception(Refused(500, sentence))
