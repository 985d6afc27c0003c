"""One client's connection: uvicorn's, with the clocks and bounds that it leaves to a proxy."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ganforge.serve.limits import Limits

LONGEST_HEAD = 2**16
LINGER = 0.25
"""Seconds that an idle connection stays open when the server stops: a request may be on its way."""


class Connection(HttpToolsProtocol):
    """Hangs up on who never finishes a request's head or never takes an answer; refuses one connection too many."""

    def __init__(self, *arguments: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._head = 0
        """Bytes since the last whole request."""
        self._in_body = False
        self._clock: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(503, "there are too many connections; try again in 1 s", b"retry-after: 1\r\n")
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._head += len(data)
        super().data_received(data)
        if self.parser is None or self.transport.is_closing():
            return
        if self._in_body:
            self._head = 0
        elif self._head > LONGEST_HEAD and not self._between():
            self.flow.pause_reading()  # a refusal would stand before the answer to what was asked first
        elif self._head > LONGEST_HEAD:
            self._refuse(431, f"a request's head may have {LONGEST_HEAD} bytes")
        elif self._between():
            self._wait()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._in_body = True
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_body, self._head = False, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._leave()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self._leave()

    def shutdown(self) -> None:
        """Answer what has been asked, and then no more; what has arrived unread counts as asked."""
        self._stopping = True
        if self._between():
            self.loop.call_later(LINGER, self._stop)
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # closing would wait for a client that takes nothing
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(self._limits.read_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_writing()

    def _stop(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._leave()

    def _leave(self) -> None:
        """Close. Who does not take what is left in time loses it, or would keep its place and the server for ever."""
        self.transport.close()
        if self._writing is None and self.transport.get_write_buffer_size():
            self._writing = self.loop.call_later(self._limits.read_timeout, self.transport.abort)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing.cancel()
            self._writing = None

    def _between(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(self._limits.read_timeout, self._late)

    def _stop_waiting(self) -> None:
        if self._clock:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        if not self._head:  # it never asked for anything
            self._leave()
            return
        self._refuse(408, f"the head of a request did not arrive within {self._limits.read_timeout:g} s")

    def _refuse(self, status: int, sentence: str, header: bytes = b"") -> None:
        body = json.dumps({"error": sentence}).encode()
        lines = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + header + lines + b"\r\n" + body)
        self._leave()
