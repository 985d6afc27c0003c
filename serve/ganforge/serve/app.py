"""The server's application: its routes, and what every request passes on the way to one."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ganforge.core.errors import GanforgeError
from ganforge.serve import openapi
from ganforge.serve.errors import Busy, Gone, Refused
from ganforge.serve.gallery import Gallery
from ganforge.serve.http import Answer, Receive, Request, Scope, Send, as_json
from ganforge.serve.limits import Limits
from ganforge.serve.measures import Exposition, RequestStats
from ganforge.serve.protocol import Names, Protocol
from ganforge.serve.repository import Repository

LOG = logging.getLogger("ganforge.serve")
Handler = Callable[[Request, Names], Awaitable[Answer]]
GONE = 499
"""What logs and metrics call a request whose client hung up; nobody sees it as an answer."""
REFUSALS = 500
"""Times a second, at most, that a client hears that there is too much to do. To refuse at once whoever asks again at
once would cost more than to serve, and take the processor from those who were accepted."""
LONGEST = 4096
"""Characters of an address: looking for the names nearest to a wrong one takes longer the longer it is."""


@dataclass(frozen=True)
class Route:
    """One call. `{model}` in its path stands for any one part."""

    method: str
    path: str
    handler: Handler
    summary: str
    open: bool = False
    """Whether it is answered without the key: what probes and a browser's first look need."""
    quiet: bool = False
    """Whether it is left out of the log: what machines ask every few seconds."""


@dataclass(frozen=True)
class Access:
    """Who may ask. Nobody's key is compared letter by letter."""

    key: str | None = None
    origins: Sequence[str] = ()
    """Web sites whose pages may call, as in https://example.org, or `*`."""

    def check(self, request: Request, route: Route) -> None:
        """Raise Refused unless this request may have this route's answer."""
        origin = request.header("origin")
        if origin and not self.shares(origin) and _host(origin) != request.header("host"):
            # A page of another site may send a request that it cannot read the answer of: it must not unload a model.
            raise Refused(403, "pages of other sites may not call this server; see --cors")
        if self.key is not None and not route.open and not self._knows(request.header("authorization")):
            raise Refused(401, "this needs the server's key: Authorization: Bearer KEY", WWW_Authenticate="Bearer")

    def shares(self, origin: str) -> bool:
        """Whether a page of this origin may read answers."""
        return bool(origin) and ("*" in self.origins or origin in self.origins)

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        wanted = hashlib.sha256((self.key or "").encode()).digest()
        same = hmac.compare_digest(hashlib.sha256(given.strip().encode("latin-1")).digest(), wanted)
        return scheme.lower() == "bearer" and same


class App:
    """The ASGI application. Errors become answers here, and only here."""

    def __init__(
        self, repository: Repository, limits: Limits, access: Access, log: Callable[[str], None] | None = None
    ) -> None:
        """Answer with these models; `log` takes a line of JSON for each request."""
        self.repository, self._limits, self._access, self._log = repository, limits, access, log
        self.protocol = Protocol(repository, limits)
        self.gallery = Gallery(repository, limits)
        self.stats = RequestStats()
        self.routes = routes(self)
        self._next_refusal = 0.0
        self._parts = [(route, route.path.split("/")) for route in self.routes]
        self._ids = (f"{prefix}-{n}" for prefix in [os.urandom(4).hex()] for n in itertools.count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        request = Request(scope, receive, self._limits)
        identity = _identity(request.header("x-request-id")) or next(self._ids)
        self.stats.in_flight += 1
        route, answer = None, None
        try:
            route, names = self._find(request)
            answer = await self._answer(request, route, names)
            await _send(send, self._finished(request, answer, identity), request)
        except Gone:
            pass
        finally:
            self.stats.in_flight -= 1
            status = answer.status if answer else GONE
            seconds = time.perf_counter() - start
            self.stats.add(route.path if route else "other", status, seconds)
            if self._log and not (route and route.quiet):
                self._log(_line(request, identity, status, seconds, answer))

    async def _answer(self, request: Request, route: Route | None, names: Names) -> Answer:
        try:
            if request.address > LONGEST:
                raise Refused(414, f"an address may have {LONGEST} characters")
            if request.method == "OPTIONS" and self._access.shares(request.header("origin")):
                return Answer(status=204, headers=PREFLIGHT)
            route = route or self._missing(request)
            self._access.check(request, route)
            return await route.handler(request, names)
        except Gone:
            raise
        except Busy as error:
            await self._turn()
            return self._refusal(request, error, error.status, error.headers)
        except Refused as error:
            return self._refusal(request, error, error.status, error.headers)
        except GanforgeError as error:
            return self._refusal(request, error, 400, {})
        except Exception as error:
            LOG.exception("unexpected: this is a bug")
            return self._refusal(request, f"unexpected {type(error).__name__}; see the server's log", 500, {})

    async def _turn(self) -> None:
        """Wait until it is this refusal's turn: at once, unless there are many."""
        now = asyncio.get_running_loop().time()
        self._next_refusal = max(now, self._next_refusal + 1 / REFUSALS)
        await asyncio.sleep(self._next_refusal - now)

    def _find(self, request: Request) -> tuple[Route | None, Names]:
        parts = request.path.split("/")
        for route, wanted in self._parts:
            if len(wanted) == len(parts) and route.method == _read(request.method):
                names = _match(wanted, parts)
                if names is not None:
                    return route, names
        return None, {}

    def _missing(self, request: Request) -> Route:
        """Raise Refused, saying what would be right."""
        parts = request.path.split("/")
        allowed = [route.method for route, wanted in self._parts if _match(wanted, parts) is not None]
        if allowed:
            raise Refused(405, f"this takes {', '.join(allowed)}, not {request.method}", Allow=", ".join(allowed))
        raise Refused(404, "there is nothing here; /openapi.json lists what there is")

    def _refusal(self, request: Request, error: object, status: int, headers: Mapping[str, str]) -> Answer:
        request.refused = str(error)
        return as_json({"error": str(error)}, status, headers)

    def _finished(self, request: Request, answer: Answer, identity: str) -> Answer:
        """The answer with the headers that all have."""
        headers = {"x-request-id": identity, "x-content-type-options": "nosniff", **answer.headers}
        if request.unread:  # what is left of a body that nobody wants would be taken for the next request
            headers["connection"] = "close"
        origin = request.header("origin")
        if self._access.shares(origin):
            exposed = "inference-header-content-length,x-request-id,retry-after"
            shared = {"access-control-allow-origin": origin, "vary": "origin"}
            headers |= {**shared, "access-control-expose-headers": exposed}
        return replace(answer, headers=headers)

    async def metrics(self, request: Request, names: Names) -> Answer:
        return Answer(self._exposition().encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request, names: Names) -> Answer:
        return as_json(openapi.document(self.routes))

    def _exposition(self) -> str:
        page, requests = Exposition(), self.stats
        by_route = [({"route": r, "status": str(s)}, float(n)) for (r, s), n in sorted(requests.answered.items())]
        page.family("ganforge_requests_total", "counter", "Requests, by route and status.", by_route)
        page.family("ganforge_requests_in_flight", "gauge", "Requests not answered yet.", [({}, requests.in_flight)])
        seconds = [({"route": route}, histogram) for route, histogram in sorted(requests.seconds.items())]
        page.histograms("ganforge_request_seconds", "From a request's head to its answer.", seconds)
        _of_models(page, self.repository)
        return page.text()


def routes(app: App) -> list[Route]:
    """Everything that is answered; the busiest first."""
    at, gallery = app.protocol, app.gallery
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    both = [
        ("POST", "/infer", at.infer, "Samples from inputs"),
        ("GET", "", at.metadata, "Inputs and outputs of a model"),
        ("GET", "/config", at.config, "A model's configuration"),
        ("GET", "/ready", at.model_ready, "Whether a model answers"),
        ("GET", "/stats", at.statistics, "What a model has done"),
    ]
    load, unload = "/v2/repository/models/{model}/load", "/v2/repository/models/{model}/unload"
    return [
        # Before the models themselves: no model's name can hide the figures of all.
        Route("GET", "/v2/models/stats", at.statistics, "What all models have done"),
        *(
            Route(method, start + end, handler, says)
            for method, end, handler, says in both
            for start in (model, version)
        ),
        Route("GET", "/images", gallery.images, "Pictures of a seed, as one picture"),
        Route("GET", "/v2/health/live", at.live, "Whether the server runs", open=True, quiet=True),
        Route("GET", "/v2/health/ready", at.ready, "Whether the server answers", open=True, quiet=True),
        Route("GET", "/v2", at.server, "What this server is"),
        Route("POST", "/v2/repository/index", at.index, "All models and their states"),
        Route("POST", load, at.load, "Load a model, or load it again"),
        Route("POST", unload, at.unload, "Stop serving a model"),
        Route("GET", "/models", gallery.models, "What can be asked of each model"),
        Route("GET", "/metrics", app.metrics, "Figures for Prometheus", quiet=True),
        Route("GET", "/openapi.json", app.openapi, "This description", open=True),
        Route("GET", "/", gallery.page, "A page to play with", open=True),
    ]


PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type, inference-header-content-length, x-request-id",
    "access-control-max-age": "600",
}


def _match(wanted: Sequence[str], parts: Sequence[str]) -> Names | None:
    names: dict[str, str] = {}
    if len(wanted) != len(parts):
        return None
    for pattern, part in zip(wanted, parts, strict=True):
        if pattern.startswith("{") and part:
            names[pattern[1:-1]] = part
        elif pattern != part:
            return None
    return names


def _host(origin: str) -> str | None:
    """The host an origin names, as it stands there, or None where it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _read(method: str) -> str:
    return "GET" if method == "HEAD" else method


def _identity(text: str) -> str:
    """A client's own request id, where it is harmless in logs and headers."""
    return text if re.fullmatch(r"[\w.:-]{1,128}", text, re.ASCII) else ""


def _line(request: Request, identity: str, status: int, seconds: float, answer: Answer | None) -> str:
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request": identity,
        "client": request.client,
        "method": request.method,
        "path": request.path[:200],
        "status": status,
        "ms": round(seconds * 1000, 2),
        "bytes": len(answer.body) if answer else 0,
    }
    if request.refused:
        line["error"] = request.refused[:500]
    return json.dumps(line)


async def _send(send: Send, answer: Answer, request: Request) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    if answer.status != 204:
        headers += [(b"content-type", answer.type.encode()), (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})


def _of_models(page: Exposition, repository: Repository) -> None:
    models = [({"model": one.name, "version": one.version}, one.batcher) for one in repository.loaded()]
    for name, says, value in (
        ("samples_total", "Samples made.", lambda b: b.stats.images),
        ("batches_total", "Runs of the network.", lambda b: b.stats.executions),
        ("refused_total", "Requests told to come back later.", lambda b: b.stats.refused),
        ("abandoned_total", "Requests whose client hung up.", lambda b: b.stats.abandoned),
    ):
        page.family(f"ganforge_model_{name}", "counter", says, [(labels, value(b)) for labels, b in models])
    queued = [(labels, float(batcher.queued)) for labels, batcher in models]
    page.family("ganforge_model_queue_samples", "gauge", "Samples that wait.", queued)
    for name, says in (
        ("batch_samples", "Samples in a batch."),
        ("queue_seconds", "How long a request waited for a batch."),
        ("infer_seconds", "How long a batch took."),
    ):
        attribute = name.replace("samples", "images")
        page.histograms(f"ganforge_model_{name}", says, [(labels, getattr(b.stats, attribute)) for labels, b in models])
