"""Requests a second: `ganforge serve` beside onnxruntime alone, LitServe and Triton, in one run, on loopback.

    python benchmarks/serve.py model.onnx [--clients 1,8,32,256] [--seconds 3] [--repeats 3]
                               [--litserve PYTHON] [--triton PYTHON]

Every client keeps one connection and asks for one image at a time, in binary, by the Open Inference Protocol; LitServe
gets the JSON it takes, and answers with the same bytes. Clients are one event loop that writes prepared bytes and reads
to the length told, so that the load costs little beside what it measures; on a small machine it costs all alike.
`onnxruntime` is the same session in this process without a server: one image after the other.

LitServe and Triton run under interpreters of their own, which have them: `pip install litserve onnxruntime`, and
`pip install nvidia-pytriton onnxruntime` in an environment made from the system's Python, whose library Triton's Python
backend wants. That Triton calls onnxruntime from a Python model; its own ONNX backend is not in that wheel.

Figures are medians over interleaved repeats, as ratios to the `onnxruntime` row of the same repeat. A machine that does
other things as well makes all of them noisy: the range says how much. Processor time per request, of all of a server's
processes, suffers least.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganforge.serve import load

Row = Callable[[int, float], "Measured"]
RAW = "onnxruntime, no server"


class Measured(NamedTuple):
    """One row at one number of clients."""

    rate: float
    """Requests a second."""
    p50: float
    p99: float
    """Milliseconds."""
    cpu: float
    """Milliseconds of processor time for each request."""
    failed: int


class Client(asyncio.Protocol):
    """One connection: the same request again and again, until told to stop."""

    def __init__(self, request: bytes, taken: list[float], stop: asyncio.Event) -> None:
        self._request, self._taken, self._stop = request, taken, stop
        self.failed = 0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._wanted is None and (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r")[0]
            self._wanted = end + 4 + int(length)
        if self._wanted is not None and len(self._received) >= self._wanted:
            self._answered()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)

    def _ask(self) -> None:
        self._received, self._wanted = b"", None  # type: bytes, int | None
        self._start = time.perf_counter()
        self._transport.write(self._request)

    def _answered(self) -> None:
        if self._received.startswith(b"HTTP/1.1 200"):
            self._taken.append(time.perf_counter() - self._start)
        else:
            self.failed += 1
        head = self._received.partition(b"\r\n\r\n")[0].lower()
        if self._stop.is_set() or b"\r\nconnection: close" in head:
            self._transport.close()
        else:
            self._ask()


async def load_on(port: int, request: bytes, group: int, clients: int, seconds: float) -> Measured:
    """So many clients for so long, at a server whose processes are a group."""
    loop, stop, taken = asyncio.get_running_loop(), asyncio.Event(), list[float]()
    connected = [
        await loop.create_connection(lambda: Client(request, taken, stop), "127.0.0.1", port) for _ in range(clients)
    ]
    await asyncio.sleep(seconds / 4)  # until every client is in step
    taken.clear()
    before = cpu_seconds(group)
    await asyncio.sleep(seconds)
    done, cpu = list(taken), cpu_seconds(group) - before
    stop.set()
    await asyncio.wait_for(asyncio.gather(*(client.closed for _, client in connected)), 60)
    return measured(done, seconds, cpu, sum(client.failed for _, client in connected))


def measured(taken: Sequence[float], seconds: float, cpu: float, failed: int = 0) -> Measured:
    if not taken:
        return Measured(0, float("nan"), float("nan"), float("nan"), failed)
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    return Measured(len(taken) / seconds, float(p50), float(p99), 1000 * cpu / len(taken), failed)


def cpu_seconds(group: int) -> float:
    """Processor time that a process group has used."""
    ticks = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12]) if int(fields[2]) == group else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def raw(path: Path) -> Row:
    """The session as the server has it, without the server."""
    model = load(path, device="cpu", spin=False)
    feed = inputs(path)

    def run(clients: int, seconds: float) -> Measured:
        taken, end, before = [], time.perf_counter() + seconds, time.process_time()
        while (start := time.perf_counter()) < end:
            model.run(feed)
            taken.append(time.perf_counter() - start)
        return measured(taken, seconds, time.process_time() - before)

    return run


def inputs(path: Path, n: int = 1) -> dict[str, np.ndarray]:
    """Inputs of `n` samples, by name."""
    card = load(path, device="cpu").card
    labels = np.zeros(n, np.int64) if card.labelled else None
    return card.feed(card.latent.sample(1, n), labels)


def binary_infer(path: Path, n: int = 1) -> bytes:
    """The request that stock clients send for `n` images."""
    feed = inputs(path, n)
    types = {"float32": "FP32", "int64": "INT64"}
    described = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": types[str(array.dtype)],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in feed.items()
    ]
    head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(array.tobytes() for array in feed.values())
    return post(f"/v2/models/{path.stem}/infer", body, f"Inference-Header-Content-Length: {len(head)}")


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def served(port: int, request: bytes, group: int) -> Row:
    """The server that a process group is, which stands still while others are measured: some poll when idle."""

    def run(clients: int, seconds: float) -> Measured:
        os.killpg(group, signal.SIGCONT)
        try:
            return asyncio.run(load_on(port, request, group, clients, seconds))
        finally:
            os.killpg(group, signal.SIGSTOP)

    return run


@contextmanager
def process(command: Sequence[str], port: int, request: bytes) -> Iterator[Row]:
    """A server in a process of its own, once it answers."""
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        try:
            wait(running, port, request)
            os.killpg(running.pid, signal.SIGSTOP)
            yield served(port, request, running.pid)
        finally:
            os.killpg(running.pid, signal.SIGCONT)
            running.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)  # the processes that it started and left


def wait(running: subprocess.Popen[bytes], port: int, request: bytes, patience: float = 60) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and running.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            if connection.recv(12) == b"HTTP/1.1 200":
                return
        time.sleep(0.2)
    raise RuntimeError(f"{running.args!r} never answered")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def ours(path: Path, *options: str) -> contextlib.AbstractContextManager[Row]:
    port = free_port()
    command = [sys.executable, "-m", "ganforge.cli", "serve", str(path), "--port", str(port), "--max-queue", "1024"]
    return process([*command, "--max-connections", "1024", *options], port, binary_infer(path))


LITSERVE = """
import sys
import litserve, numpy, onnxruntime
from fastapi import Response

KINDS = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}

class Generator(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
        self.inputs = self.session.get_inputs()
    def decode_request(self, request):
        return {one.name: numpy.array(request[one.name], KINDS[one.type]) for one in self.inputs}
    def batch(self, rows):
        return {one.name: numpy.stack([row[one.name] for row in rows]) for one in self.inputs}
    def predict(self, feed):
        return self.session.run(None, feed)[0]
    def unbatch(self, output):
        return list(output)
    def encode_response(self, output):
        return Response(content=output.tobytes(), media_type="application/octet-stream")

if __name__ == "__main__":
    api = Generator(max_batch_size=32, batch_timeout=0.0, enable_async=False)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
"""

TRITON = """
import sys
import numpy, onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
kinds = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}

@batch
def run(**feed):
    return {session.get_outputs()[0].name: session.run(None, feed)[0]}

def tensor(node):
    return Tensor(name=node.name, dtype=kinds[node.type], shape=tuple(node.shape[1:]))

with Triton(config=TritonConfig(http_port=int(sys.argv[2]), allow_grpc=False, allow_metrics=False)) as triton:
    batcher = DynamicBatcher(max_queue_delay_microseconds=0)
    triton.bind(sys.argv[3], run, [*map(tensor, session.get_inputs())], [tensor(session.get_outputs()[0])],
                config=ModelConfig(max_batch_size=32, batcher=batcher))
    triton.serve()
"""


def litserve(path: Path, folder: Path, python: str) -> contextlib.AbstractContextManager[Row]:
    body = json.dumps({name: array[0].tolist() for name, array in inputs(path).items()}).encode()
    request = post("/predict", body, "Content-Type: application/json")
    return script(LITSERVE, [python], folder, path, request)


def triton(path: Path, folder: Path, python: str) -> contextlib.AbstractContextManager[Row]:
    # The wheel's program is started from a copy, from which it would not find the libraries that came with it.
    where = "import pytriton, pathlib; print(pathlib.Path(pytriton.__file__).parents[1] / 'nvidia_pytriton.libs')"
    libraries = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    command = ["env", "-u", "PYTHONPATH", f"LD_LIBRARY_PATH={libraries}", python]
    return script(TRITON, command, folder, path, binary_infer(path))


def script(
    text: str, python: Sequence[str], folder: Path, path: Path, request: bytes
) -> contextlib.AbstractContextManager[Row]:
    port = free_port()
    file = folder / f"server_{port}.py"
    file.write_text(text)
    return process([*python, str(file), str(path), str(port), path.stem], port, request)


def rows(path: Path, folder: Path, stack: contextlib.ExitStack, others: dict[str, str | None]) -> dict[str, Row]:
    """Every server, started."""
    started = {RAW: raw(path), "ganforge serve": stack.enter_context(ours(path, "--no-log"))}
    started["ganforge serve, with its log"] = stack.enter_context(ours(path))
    for name, start in (("LitServe", litserve), ("Triton", triton)):
        if python := others[name]:
            started[name] = stack.enter_context(start(path, folder, python))
    return started


def report(results: dict[str, dict[int, list[Measured]]], clients: Sequence[int]) -> None:
    print(f"| server | {' | '.join(f'{n} clients: of onnxruntime (range), p50, p99, CPU ms' for n in clients)} |")
    print("|---|" + "---|" * len(clients))
    for name, by_clients in results.items():
        cells = [cell(runs, results[RAW][n]) for n, runs in by_clients.items()]
        print(f"| {name} | {' | '.join(cells)} |")


def cell(runs: Sequence[Measured], base: Sequence[Measured]) -> str:
    ratios = [one.rate / other.rate for one, other in zip(runs, base, strict=True)]
    p50, p99, cpu = (statistics.median(getattr(one, key) for one in runs) for key in ("p50", "p99", "cpu"))
    failed = sum(one.failed for one in runs)
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
    return f"{spread}, {p50:.1f}, {p99:.1f}, {cpu:.2f}{f', {failed} refused' if failed else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", default="1,8,32,256")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--litserve", metavar="PYTHON", help="an interpreter that has litserve")
    parser.add_argument("--triton", metavar="PYTHON", help="an interpreter that has nvidia-pytriton")
    arguments = parser.parse_args()
    clients = [int(n) for n in arguments.clients.split(",")]
    folder = Path(tempfile.mkdtemp())
    try:
        with contextlib.ExitStack() as stack:
            others = {"LitServe": arguments.litserve, "Triton": arguments.triton}
            started = rows(arguments.model.resolve(), folder, stack, others)
            results = {name: {n: list[Measured]() for n in clients} for name in started}
            for _ in range(arguments.repeats):
                for n in clients:
                    for name, run in started.items():
                        results[name][n].append(run(n, arguments.seconds))
            report(results, clients)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
