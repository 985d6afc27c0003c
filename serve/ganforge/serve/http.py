"""Requests and answers over plain ASGI: a framework would cost more time than all that is done here."""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from ganforge.core.errors import unknown
from ganforge.serve.errors import Gone, Refused
from ganforge.serve.limits import Limits

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What goes back to a client."""

    body: bytes = b""
    type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(json.dumps(value, separators=(",", ":")).encode(), status=status, headers=headers or {})


class Request:
    """One request. Its body is read when asked for, and never beyond the limits."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.client: str = (scope.get("client") or ("",))[0]
        self.deadline = asyncio.get_running_loop().time() + limits.timeout
        self.refused: str | None = None
        """The sentence of an answer that was none, for the log."""
        self._headers = dict(scope["headers"])
        self._query: bytes = scope["query_string"]
        self._receive = receive
        self._limits = limits
        self._read = False

    def header(self, name: str) -> str:
        """A header's value, empty where it is not given; `name` in lower case."""
        value: bytes = self._headers.get(name.encode(), b"")
        return value.decode("latin-1")

    def query(self, *known: str) -> dict[str, str]:
        """The parameters in the address.

        Raises:
            GanforgeError: one that is not among `known`.
            Refused: one that is given twice.
        """
        pairs = parse_qsl(self._query.decode("latin-1"), keep_blank_values=True, max_num_fields=None)
        values = dict(pairs)
        for name in values:
            if name not in known:
                raise unknown("parameter", name, known)
        if len(values) < len(pairs):
            raise Refused(400, "a parameter is given twice")
        return values

    @property
    def address(self) -> int:
        """How long the address is."""
        return len(self.path) + len(self._query)

    @property
    def unread(self) -> bool:
        """Whether some of the body may still be on its way."""
        return not self._read and (
            self.header("content-length") not in ("", "0") or bool(self.header("transfer-encoding"))
        )

    async def body(self) -> bytes:
        """The whole body, decompressed.

        Raises:
            Refused: too long, too slow, or compressed in a way unknown or broken.
            Gone: the client hung up.
        """
        try:
            async with asyncio.timeout(self._limits.read_timeout):
                body = await self._whole()
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {self._limits.read_timeout:g} s") from None
        if encoding := self.header("content-encoding"):
            return self._decompressed(body, encoding)
        return body

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one is an empty object.

        Raises:
            Refused: as `body`, or it is something else.
        """
        body = await self.body()
        return parse_object(body) if body else {}

    async def unless_gone(self, work: Awaitable[T]) -> T:
        """What `work` gives; it is cancelled when the client hangs up. The body must have been read.

        Raises:
            Gone: the client hung up.
        """
        task = asyncio.ensure_future(work)
        watcher = asyncio.ensure_future(self._cancel_when_gone(task))
        try:
            return await task
        except asyncio.CancelledError:
            if watcher.done():
                raise Gone from None
            raise
        finally:
            watcher.cancel()

    async def _cancel_when_gone(self, task: asyncio.Future[T]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        task.cancel()

    async def _whole(self) -> bytes:
        limit = self._limits.max_body
        if (length := self.header("content-length")).isdecimal() and int(length) > limit:
            raise self._too_long()
        pieces, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            more = message.get("more_body", False)
            if size > limit:
                raise self._too_long()
        self._read = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _decompressed(self, body: bytes, encoding: str) -> bytes:
        if encoding not in ("gzip", "deflate"):
            raise Refused(415, f"content encoding '{encoding[:40]}' is unknown; there is gzip, deflate")
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # of both kinds, as the data says itself
        try:
            content = stream.decompress(body, self._limits.max_body + 1)
        except zlib.error:
            raise Refused(400, f"the body is not {encoding} data") from None
        if len(content) > self._limits.max_body:
            raise self._too_long()
        if not stream.eof:
            raise Refused(400, f"the body's {encoding} data breaks off")
        return content

    def _too_long(self) -> Refused:
        return Refused(413, f"a body may have {self._limits.max_body} bytes, and this one has more")


def parse_object(text: bytes | memoryview) -> dict[str, Any]:
    """A JSON object from a stranger.

    Raises:
        Refused: it is none; `NaN` and `Infinity` are no JSON.
    """
    try:
        value = json.loads(str(text, "utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON, or not as long as its header says") from None
    if not isinstance(value, dict):
        raise Refused(400, "the body must be a JSON object")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def whole_number(values: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number among a request's parameters.

    Raises:
        Refused: it is none, or out of range.
    """
    text = values.get(name, "")
    number = _as_int(text) if text else default
    if number is None or not least <= number <= most:
        raise Refused(400, f"{name} must be a whole number from {least} to {most}, not '{text[:40]}'")
    return number


def number(values: Mapping[str, str], name: str, least: float, most: float) -> float | None:
    """A number among a request's parameters, or None where it is not given.

    Raises:
        Refused: it is none, or out of range.
    """
    if not (text := values.get(name, "")):
        return None
    value = as_float(text)
    if not least <= value <= most:
        raise Refused(400, f"{name} must be a number from {least:g} to {most:g}, not '{text[:40]}'")
    return value


def as_float(text: str) -> float:
    """A number, or NaN, which lies in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _as_int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
