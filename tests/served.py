"""A server to test: in this process without a socket, or in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import command
import numpy as np
import pytest
from export_toys import toy_run

from ganforge.export import export
from ganforge.serve import Model
from ganforge.serve import repository as repositories
from ganforge.serve.app import Access, App
from ganforge.serve.limits import Limits
from ganforge.serve.repository import Repository


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def sentence(self) -> str:
        """What is wrong, as told."""
        error: str = self.json()["error"]
        return error


def app_of(*paths: Path, access: Access | None = None, threads: int = 0, **limits: Any) -> App:
    """An application. With one thread, one batch runs at a time."""
    repository = Repository(paths, Limits(**limits), device="cpu", threads=threads)
    return App(repository, Limits(**limits), access or Access())


async def ask(
    app: App,
    address: str,
    body: bytes | Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "",
    gone: asyncio.Event | None = None,
) -> Reply:
    """One request to an application: POST where it has a body. `gone` is when the client hangs up."""
    path, _, query = address.partition("?")
    content = json.dumps(body).encode() if isinstance(body, Mapping) else body or b""
    given = {"host": "test", "content-length": str(len(content)), **(headers or {})}
    scope = {
        "type": "http",
        "method": method or ("GET" if body is None else "POST"),
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("utf-8")) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
    }
    incoming = iter([{"type": "http.request", "body": content, "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        if message := next(incoming, None):
            return message
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return Reply(0, {}, b"")
    start, *rest = sent
    named = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], named, b"".join(part["body"] for part in rest))


def one(app: App, address: str, *arguments: Any, **named: Any) -> Reply:
    """A request by itself."""
    return asyncio.run(ask(app, address, *arguments, **named))


class Gate:
    """Holds a model's network until it is let: `hold()`, then `go()` for all that comes."""

    def __init__(self, model: Model) -> None:
        self.card, self.device = model.card, model.device
        self._model, self._open = model, threading.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def go(self) -> None:
        self._open.set()

    def run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        assert self._open.wait(30)
        return self._model.run(feed)


def gated(monkeypatch: pytest.MonkeyPatch) -> list[Gate]:
    """Every model that a repository loads from now on, as it comes, behind a gate."""
    gates: list[Gate] = []
    real = repositories.load

    def load(*arguments: Any, **named: Any) -> Gate:
        gates.append(Gate(real(*arguments, **named)))
        return gates[-1]

    monkeypatch.setattr(repositories, "load", load)
    return gates


def toy_model(folder: Path, name: str = "toy", **request: Any) -> Path:
    """An exported toy: 8×8 pictures from z float32 [N, 6]; `recipe="toy-labelled", kind="labelled"` takes labels."""
    export(toy_run(folder / f"run-{name}", **request), folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


class Server(NamedTuple):
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def stop(self) -> tuple[str, str]:
        """Tell it to stop; its stdout and stderr."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return out, err


@contextlib.contextmanager
def serving(*arguments: object) -> Iterator[Server]:
    """`ganforge serve` with these arguments, at a port of its own, until the end of the block."""
    process = command.start("serve", *arguments, "--port", 0)
    try:
        yield Server(process, _address(process))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    for line in process.stdout:
        if line.startswith("open http://"):
            return line.split()[1]
    raise AssertionError(process.communicate())
