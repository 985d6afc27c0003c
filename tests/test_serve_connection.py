"""One connection without a socket: clients that take nothing, and heads that never end behind a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ganforge.serve.limits import Limits

uvicorn = pytest.importorskip("uvicorn")

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Clogged(asyncio.Transport):
    """To a client that takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = self.aborted = self.paused = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def connected(answer: asyncio.Event) -> tuple[Any, Clogged]:
    """A connection to an application that answers when it is let."""
    from uvicorn.server import ServerState

    from ganforge.serve.connection import Connection

    async def app(scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
        await answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(app, interface="asgi3", lifespan="off", log_config=None)
    connection = Connection(config=config, server_state=ServerState(), app_state={}, limits=Limits(read_timeout=0.2))
    transport = Clogged()
    connection.connection_made(transport)
    return connection, transport


@pytest.mark.parametrize("stopping", [False, True], ids=["closing", "stopping"])
def test_who_does_not_take_the_last_of_an_answer_is_let_go(stopping: bool) -> None:
    async def scene() -> None:
        answer = asyncio.Event()
        answer.set()
        connection, transport = connected(answer)
        connection.data_received(ASK + (b"" if stopping else b"Connection: close\r\n") + b"\r\n")
        await asyncio.sleep(0.05)
        assert transport.written.endswith(b"ok")
        if stopping:
            connection.shutdown()
        await asyncio.sleep(1)
        assert transport.aborted

    asyncio.run(scene())


def test_a_head_behind_a_request_has_its_bounds_too() -> None:
    async def scene() -> None:
        answer = asyncio.Event()
        connection, transport = connected(answer)
        connection.data_received(ASK + b"\r\n" + ASK)
        await asyncio.sleep(0.01)
        for _ in range(9):
            assert not transport.paused
            connection.data_received(b"a: " + b"b" * 8187 + b"\r\n")
        assert transport.paused
        assert transport.written == b""
        answer.set()
        await asyncio.sleep(0.05)
        assert transport.written.endswith(b"ok")
        assert not transport.paused
        connection.data_received(b"a: b\r\n")
        assert b"HTTP/1.1 431 " in transport.written

    asyncio.run(scene())
