"""Ten times as many clients as `ganforge serve` can serve, for a minute: who is answered how soon, who is told to wait.

    python benchmarks/serve_overload.py model.onnx [--times 10] [--seconds 60] [--max-batch 32] [--max-queue 8]

One server on loopback. First, unloaded: one request at a time for a whole batch of samples, whose median is what the
rest is measured by; then as many clients as a batch has samples, which is what the server can do in a second. Then so
many times that number of clients, each of which asks for one sample again as soon as it has heard, whether it was
answered or refused; and in the end SIGTERM with the load still on. Latency is from writing a request to the last byte
of its answer.

The load comes from this machine too and takes its share of the processors; with one of its own the server would do
better.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from serve import Client, binary_infer, free_port, load_on, wait
from serve_fuzz import resident


class Caller(Client):
    """A client that keeps what came of each request."""

    def __init__(self, request: bytes, taken: list[float], stop: asyncio.Event, answers: Counter[str]) -> None:
        super().__init__(request, taken, stop)
        self._answers = answers
        self.waits = False

    def _ask(self) -> None:
        self.waits = True
        super()._ask()

    def _answered(self) -> None:
        self._answers[self._received[9:12].decode()] += 1
        self.waits = False
        super()._answered()


class Overload:
    """What many clients at once were told."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.answers: Counter[str] = Counter()
        self.memory: list[int] = []
        self.unanswered = 0

    async def run(self, port: int, request: bytes, clients: int, seconds: float, server: int) -> None:
        """The load, and SIGTERM while it is still on."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def caller() -> Caller:
            return Caller(request, self.taken, stop, self.answers)

        connected = [(await loop.create_connection(caller, "127.0.0.1", port))[1] for _ in range(clients)]
        self.memory.append(resident(server))
        await asyncio.sleep(seconds)
        self.memory.append(resident(server))
        os.kill(server, signal.SIGTERM)
        await asyncio.wait([client.closed for client in connected], timeout=60)
        self.unanswered = sum(client.waits for client in connected)


def batch_seconds(port: int, path: Path, n: int, repeats: int = 40) -> list[float]:
    """Latencies of a request for `n` samples at an idle server."""

    async def ask() -> list[float]:
        taken: list[float] = []
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        request = binary_infer(path, n)
        _, client = await loop.create_connection(lambda: Client(request, taken, stop), "127.0.0.1", port)
        while len(taken) < repeats:
            await asyncio.sleep(0.05)
        stop.set()
        await client.closed
        assert not client.failed
        return taken

    return asyncio.run(ask())


def report(unloaded: list[float], able: float, seconds: float, load: Overload) -> None:
    batch, (p50, p99) = 1000 * np.median(unloaded), 1000 * np.percentile(load.taken, [50, 99])
    told = ", ".join(f"{status}: {n / seconds:.0f}/s" for status, n in sorted(load.answers.items()))
    print(f"unloaded: {batch:.1f} ms for a whole batch; {able:.0f} requests/s")
    print(f"overloaded: {told}")
    print(f"accepted: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {p99 / batch:.2f} of the unloaded batch")
    first, last = (held / 2**20 for held in load.memory)
    print(f"memory: {first:.0f} MiB at first, {last:.0f} MiB in the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--max-batch", type=int, default=32)
    parser.add_argument("--max-queue", type=int, default=8)
    arguments = parser.parse_args()
    path, most, port, load = arguments.model.resolve(), arguments.max_batch, free_port(), Overload()
    bounds = ["--max-batch", str(most), "--max-queue", str(arguments.max_queue)]
    command = [sys.executable, "-m", "ganforge.cli", "serve", str(path), "--port", str(port), "--no-log", *bounds]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        request = binary_infer(path)
        wait(server, port, request)
        unloaded = batch_seconds(port, path, most)
        able = asyncio.run(load_on(port, request, server.pid, most, 5)).rate
        asyncio.run(load.run(port, request, arguments.times * most, arguments.seconds, server.pid))
        report(unloaded, able, arguments.seconds, load)
        print(f"SIGTERM under load: exit code {server.wait(60)}, {load.unanswered} requests without an answer")
    finally:
        server.kill()


if __name__ == "__main__":
    main()
