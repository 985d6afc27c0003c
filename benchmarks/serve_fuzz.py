"""Hostile requests against `ganforge serve`: none may cost more than itself.

    python benchmarks/serve_fuzz.py model.onnx [--requests 10000] [--seed 0]

Starts a server on loopback and sends it requests that are wrong in some way: shapes, types, NaN, sizes of 2^31 and
below zero, lengths that lie, bodies cut short, chunked, nested, swollen or of another encoding, names that climb out of
folders, heads that never end. Every one must be answered with something below 500, with 503, or with nothing where it
was no request; after every hundred a good one must be served; and the server's memory must be what it was.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import os
import random
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

PATIENCE = 20.0
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**31 - 1, -(2**31), 2**62, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, 5e-324),
    *("", "x", "z", "label", "FP32", "INT64", "BYTES", "\x00", "🎨" * 50, "../../etc/passwd", "1", "NaN", "x" * 5000),
    *(
        [],
        {},
        [[]],
        [None],
        [1, 2, 3],
        [2**31, 2**31],
        [-1, 6],
        [0, 6],
        {"a": {"b": []}},
        [[[[[[0]]]]]],
        [1e400],
        ["a"] * 9,
    ),
    *(float("nan"), float("inf"), -float("inf")),
]
NAMES = [
    *(
        "model",
        "nothing",
        "..",
        "../..",
        "%2e%2e%2f",
        "%00",
        "a%0d%0aX-Bad:1",
        "\u202egnp",
        "名",
        "x" * 3000,
        "stats",
        "%ff",
    ),
    *(
        "..%2f..%2fetc%2fpasswd",
        "C:%5cwindows",
        "model/versions/1",
        "model/versions/-1",
        "model/versions/9" + "9" * 500,
    ),
]
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW", "get"]
HEADERS = [
    *(
        "Content-Type: text/plain",
        "Content-Type: multipart/form-data; boundary=x",
        "Accept: */*;q=nan",
        "X-Request-Id: \x7f",
    ),
    *(
        "Content-Encoding: gzip",
        "Content-Encoding: deflate",
        "Content-Encoding: br",
        "Expect: 100-continue",
        "Expect: tea",
    ),
    *("Origin: https://stranger.example", "Authorization: Bearer x", "Upgrade: websocket\r\nConnection: Upgrade"),
    *("Inference-Header-Content-Length: 5", "Inference-Header-Content-Length: -1", "Range: bytes=0-99999999999"),
    *(
        "Inference-Header-Content-Length: 99999999999999999999",
        "Inference-Header-Content-Length: ٣",
        "Cookie: " + "a" * 9000,
    ),
    *(
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Content-Length: 1",
        "Connection: close",
        ": none",
    ),
]
Build = Callable[["Hostile"], bytes]


class Model(NamedTuple):
    """What a good request to a model looks like."""

    name: str
    request: dict[str, Any]


class Hostile:
    """Requests from a seed."""

    def __init__(self, model: Model, seed: int) -> None:
        self.model, self.random = model, random.Random(seed)
        self.kinds: list[Build] = [
            *(mutated,) * 6, binary, binary, drawing, drawing,
            cut, chunked, nested, swollen, wandering, repository, nonsense,
        ]  # fmt: skip

    def request(self) -> tuple[str, bytes]:
        """The name of its kind, and all its bytes."""
        build = self.random.choice(self.kinds)
        return build.__name__, build(self)

    def value(self) -> Any:
        return copy.deepcopy(self.random.choice(VALUES))

    def headers(self) -> list[str]:
        return self.random.sample(HEADERS, self.random.choice([0, 0, 0, 1, 2]))

    def infer(self) -> str:
        return f"/v2/models/{self.model.name}/infer"


def whole(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    length = [f"Content-Length: {len(body)}"] if not any(one.startswith("Content-Length") for one in headers) else []
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *length, *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def mutated(hostile: Hostile) -> bytes:
    """A good request with some of its values replaced."""
    request = copy.deepcopy(hostile.model.request)
    for _ in range(hostile.random.choice([1, 1, 2, 4])):
        place(hostile, request)
    return whole("POST", hostile.infer(), json.dumps(request).encode(), *hostile.headers())


def place(hostile: Hostile, value: Any) -> None:
    """Put something else at a random place inside `value`."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = hostile.random.choice([*keys, "parameters"]) if isinstance(value, dict) else hostile.random.choice(keys)
        inner = value.get(key) if isinstance(value, dict) else value[key]
        if isinstance(inner, dict | list) and inner and hostile.random.random() < 0.7:
            value = inner
        else:
            value[key] = hostile.value()
            return


def binary(hostile: Hostile) -> bytes:
    """Bytes behind the JSON, with lengths that lie."""
    pick, request = hostile.random.choice, copy.deepcopy(hostile.model.request)
    data = b""
    for tensor in request["inputs"]:
        right = 4 * tensor["shape"][1] if tensor["datatype"] == "FP32" else 8
        size = pick([right, right, right - 1, right * 2, 0, -4, 2**31, 2**63, "4", None, 1.5, True])
        tensor["parameters"] = {"binary_data_size": size, **pick([{}, {}, {"shared_memory_region": "x"}])}
        tensor.pop("data")
        kind = pick([0.0, np.nan, np.inf, 3e38])
        data += np.full(pick([right // 4, right // 4, 1, 500]), kind, np.float32).tobytes()
    request["parameters"] = {"binary_data_output": pick([True, False, "yes"])}
    head = json.dumps(request).encode()
    told = pick([len(head), len(head), len(head) - 1, len(head) + 1, 0, len(head) + len(data), 10**30])
    return whole("POST", hostile.infer(), head + data, f"Inference-Header-Content-Length: {told}", *hostile.headers())


def cut(hostile: Hostile) -> bytes:
    """A request that breaks off somewhere."""
    request = whole("POST", hostile.infer(), json.dumps(hostile.model.request).encode())
    return request[: hostile.random.randrange(len(request))]


def chunked(hostile: Hostile) -> bytes:
    """Chunks whose sizes are wrong, or that never end."""
    body = json.dumps(hostile.model.request).encode()
    size = hostile.random.choice(
        [f"{len(body):x}", "0", "ffffffffffffffff", "-1", "zz", "7fffffff", f"{len(body) - 1:x}"]
    )
    head = f"POST {hostile.infer()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n"
    return head.encode() + body + hostile.random.choice([b"\r\n0\r\n\r\n", b"", b"\r\n0\r\n"])


def nested(hostile: Hostile) -> bytes:
    """JSON deep or long."""
    depth = hostile.random.choice([10, 1000, 100_000])
    opening, closing = hostile.random.choice([("[", "]"), ('{"a":', "}"), ('{"inputs":[', "]}")])
    inner = hostile.random.choice(["", "0", '"x"', "NaN", "1" * 5000])
    return whole("POST", hostile.infer(), (opening * depth + inner + closing * depth).encode())


def swollen(hostile: Hostile) -> bytes:
    """Compressed data that is a bomb, cut off or none."""
    bomb = gzip.compress(b" " * 10_000_000)
    body = hostile.random.choice([bomb, bomb[:-9], b"\x1f\x8b", b"", bomb * 2])
    return whole("POST", hostile.infer(), body, "Content-Encoding: gzip")


def wandering(hostile: Hostile) -> bytes:
    """Places that are not there, by methods that are none."""
    pick = hostile.random.choice
    name = pick(NAMES)
    path = pick(["/v2/models/{}", "/v2/models/{}/infer", "/v2/models/{}/config", "/{}", "/v2/{}/../..", "//{}", "{}"])
    return whole(pick(METHODS), quote(path.format(name), safe="/%:."), b"{}", *hostile.headers())


def drawing(hostile: Hostile) -> bytes:
    """Pictures that cannot be."""
    keys = ["seed", "n", "start", "to", "label", "truncation", "shift", "columns", "format", "model", "version", "x"]
    pairs = [
        f"{hostile.random.choice(keys)}={quote(str(hostile.value())[:800])}"
        for _ in range(hostile.random.choice([1, 2, 3]))
    ]
    return whole("GET", f"/images?{'&'.join(pairs)}", b"", *hostile.headers())


def repository(hostile: Hostile) -> bytes:
    """Models that are not there, with parameters that are not offered."""
    name = quote(hostile.random.choice([one for one in NAMES if one != hostile.model.name]), safe="/%")
    call = hostile.random.choice([f"models/{name}/load", f"models/{name}/unload", "index"])
    body = json.dumps(
        hostile.random.choice([hostile.value(), {"parameters": hostile.value()}, {"ready": hostile.value()}])
    )
    return whole("POST", f"/v2/repository/{call}", body.encode(), *hostile.headers())


def nonsense(hostile: Hostile) -> bytes:
    """What is no HTTP."""
    pick = hostile.random.choice
    noise = hostile.random.randbytes(pick([1, 20, 3000]))
    return pick(
        [noise, b"\x16\x03\x01" + noise, b"GET / HTTP/9.9\r\n\r\n", b"GET " + noise + b" HTTP/1.1\r\n\r\n", b"\r\n" * 9]
    )


class Outcome(NamedTuple):
    """What a server made of it."""

    answers: Counter[str]
    bad: list[str]
    """What must not be, a line for each."""
    grown: int
    """Bytes of memory more at the end than after the first tenth."""


def attack(port: int, pid: int, model: Model, requests: int, seed: int) -> Outcome:
    """Send `requests` hostile requests, and a good one after every hundred."""
    hostile, answers, bad, before = Hostile(model, seed), Counter[str](), list[str](), 0
    for number in range(requests):
        kind, content = hostile.request()
        status = send(port, content)
        answers[status] += 1
        if (status.startswith("5") and status != "503") or status == "silence":
            bad.append(f"{number}: {kind}: {status}: {content[:200]!r}")
        if number % 100 == 99 and (good := send(port, good_request(model))) != "200":
            bad.append(f"{number}: a good request got {good}")
        if number == requests // 10:
            before = resident(pid)
    return Outcome(answers, bad, resident(pid) - before)


def good_request(model: Model) -> bytes:
    return whole("POST", f"/v2/models/{model.name}/infer", json.dumps(model.request).encode())


def send(port: int, content: bytes) -> str:
    """The status of the answer; `hung up` where there was none, `silence` where nothing ever happened."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(content)
            if not re.search(rb"\r\n\r\n", content):
                connection.shutdown(socket.SHUT_WR)  # nobody waits for the rest
            return status(connection)
        except TimeoutError:
            return "silence"
        except OSError:
            return "hung up"


def status(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (data := connection.recv(65536)):
            break
        received += data
        received = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    return found[1].decode() if found else "hung up"


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def good_model(path: Path) -> Model:
    """A good request for an exported file."""
    from ganforge.serve import load

    inputs = load(path, device="cpu").card.inputs
    types = {"float32": "FP32", "int64": "INT64"}
    tensors = [
        {"name": one.name, "shape": [1, one.width], "datatype": types[one.dtype], "data": [0] * one.width}
        for one in inputs
    ]
    return Model(path.stem, {"id": "a", "inputs": tensors, "outputs": [{"name": "images", "parameters": {}}]})


@contextmanager
def server(path: Path) -> Iterator[tuple[int, int]]:
    """The port and process id of a server of its own, with little patience."""
    options = ["--port", "0", "--no-log", "--read-timeout", "0.2", "--max-body", str(2**20)]
    command = [sys.executable, "-m", "ganforge.cli", "serve", str(path), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        address = next(line.split()[1] for line in process.stdout if line.startswith("open "))
        yield int(address.rstrip("/").rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with server(arguments.model) as (port, pid):
        outcome = attack(port, pid, good_model(arguments.model), arguments.requests, arguments.seed)
    print(f"{arguments.requests} hostile requests of seed {arguments.seed}: {dict(sorted(outcome.answers.items()))}")
    print(f"memory grew by {outcome.grown / 2**20:.1f} MiB after the first tenth")
    for line in outcome.bad:
        print(line)
    return 1 if outcome.bad else 0


if __name__ == "__main__":
    sys.exit(main())
