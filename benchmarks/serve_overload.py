"""Ten times what `ganforge serve` can do, for a minute: who is answered, how soon, and who is told to come back.

    python benchmarks/serve_overload.py model.onnx [--times 10] [--seconds 60] [--max-batch 32] [--connections 300]

One server on loopback whose queue holds one batch (`--max-queue` = `--max-batch`). First, unloaded: one request at a
time for a whole batch of samples, whose median is what the rest is measured by. Then as many clients as fill two
batches, for what the server can do in a second. Then requests for one sample each, at so many times that rate whether
or not earlier ones are answered, each on whichever of the connections is free; and in the end SIGTERM with the load
still on. Latency is from writing a request to the last byte of its answer.

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
import time
from collections import Counter
from pathlib import Path

import numpy as np
from serve import Client, binary_infer, free_port, load_on, wait

TICK = 0.001
"""Seconds between two looks at how many requests are due."""


class Caller(Client):
    """A connection that asks when told to, and says what came of it."""

    def __init__(self, request: bytes, load: Load) -> None:
        super().__init__(request, load.taken, asyncio.Event())
        self._load = load

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._load.asking:
            self._load.asking.discard(self)
            self._load.answers["lost"] += 1
        super().connection_lost(error)

    def ask(self) -> None:
        self._load.asking.add(self)
        self._ask()

    def _answered(self) -> None:
        status = self._received[9:12].decode()
        self._load.answers[status] += 1
        if status == "200":
            self._load.taken.append(time.perf_counter() - self._start)
        self._load.asking.discard(self)
        self._load.idle.append(self)


class Load:
    """Requests at a rate, on connections that are kept."""

    def __init__(self) -> None:
        self.idle: list[Caller] = []
        self.asking: set[Caller] = set()
        self.taken: list[float] = []
        self.answers: Counter[str] = Counter()
        self.unsent = 0
        self.memory: list[float] = []

    async def connect(self, port: int, request: bytes, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: Caller(request, self), "127.0.0.1", port)

    async def run(self, rate: float, seconds: float) -> None:
        """Ask at this rate; what finds no free connection is counted and not asked."""
        start, asked = time.perf_counter(), 0
        while (now := time.perf_counter() - start) < seconds:
            due = int(now * rate) - asked
            for _ in range(due):
                if self.idle:
                    self.idle.pop().ask()
                else:
                    self.unsent += 1
            asked += due
            await asyncio.sleep(TICK)


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


async def overload(port: int, path: Path, rate: float, seconds: float, connections: int, server: int) -> Load:
    """The load, and SIGTERM while it is still on."""
    load = Load()
    await load.connect(port, binary_infer(path), connections)
    load.memory.append(resident(server))
    await load.run(rate, seconds)
    load.memory.append(resident(server))
    os.kill(server, signal.SIGTERM)
    for _ in range(200):
        await asyncio.sleep(0.05)
        if not load.asking:
            break
    return load


def resident(pid: int) -> float:
    """MiB that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def report(most: int, unloaded: list[float], able: float, arguments: argparse.Namespace, load: Load, code: int) -> None:
    batch, (p50, p99) = 1000 * np.median(unloaded), 1000 * np.percentile(load.taken, [50, 99])
    print(f"unloaded, {most} samples: {batch:.1f} ms; at most {able:.0f} requests/s")
    print(f"offered {arguments.times:g} times that for {arguments.seconds:g} s: {dict(load.answers)}")
    print(f"due while every connection was waiting, and so not sent: {load.unsent}")
    print(f"accepted: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {p99 / batch:.2f} of the unloaded batch")
    print(f"memory before and after: {load.memory[0]:.0f} and {load.memory[1]:.0f} MiB")
    print(f"SIGTERM under load: exit code {code}, {len(load.asking)} accepted and not answered")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--times", type=float, default=10, help="how many times what the server can do")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--max-batch", type=int, default=32)
    parser.add_argument("--connections", type=int, default=300)
    arguments = parser.parse_args()
    path, most, port = arguments.model.resolve(), arguments.max_batch, free_port()
    command = [sys.executable, "-m", "ganforge.cli", "serve", str(path), "--port", str(port), "--no-log"]
    bounds = ["--max-batch", str(most), "--max-queue", str(most)]
    server = subprocess.Popen([*command, *bounds], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        request = binary_infer(path)
        wait(server, port, request)
        unloaded = batch_seconds(port, path, most)
        able = asyncio.run(load_on(port, request, server.pid, most, 5)).rate
        rate = arguments.times * able
        load = asyncio.run(overload(port, path, rate, arguments.seconds, arguments.connections, server.pid))
        report(most, unloaded, able, arguments, load, server.wait(60))
    finally:
        server.kill()


if __name__ == "__main__":
    main()
