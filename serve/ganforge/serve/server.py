"""The server: from files to a socket that answers, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.core.errors import GanforgeError
from ganforge.serve.app import Access, App
from ganforge.serve.limits import Limits
from ganforge.serve.lines import Lines
from ganforge.serve.repository import Repository

if TYPE_CHECKING:
    import uvicorn

STDERR = 2
SWITCH = 0.0005
"""Seconds after which a busy event loop lets a thread of the network go on; Python's own 5 ms starve it in overload."""
BACKLOG = 1024
"""Connections that the system keeps for us between two rounds of the event loop."""


def serve(
    paths: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    device: str = "auto",
    threads: int = 0,
    limits: Limits | None = None,
    access: Access | None = None,
    log: bool = True,
    started: Callable[[Repository, str], None] = lambda repository, address: None,
) -> bool:
    """Serve models until the process is told to stop; then answer what was accepted, and return.

    SIGTERM and SIGINT stop it, a second SIGINT at once; SIGHUP loads again what the files and folders hold.

    Args:
        paths: models, or folders of them; see `Repository`.
        port: 0 for any that is free.
        threads: processor threads for each model, 0 for one per core.
        log: whether each request is a line of JSON on stderr.
        started: called with the models and the address once requests are answered.

    Returns:
        Whether all that was accepted was answered.

    Raises:
        GanforgeError: a model that cannot be served, or an address that cannot be listened at.
    """
    asked_again = _heed()
    limits = limits or Limits()
    sys.setswitchinterval(SWITCH)
    repository = Repository(paths, limits, device=device, threads=threads)
    listener = listen(host, port)
    lines = Lines(STDERR) if log else None
    app = App(repository, limits, access or Access(), lines)
    address = _address(host, listener)
    server = _server(app, limits, lambda: started(repository, address), asked_again)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))
    if lines:
        lines.close()
    return not server.force_exit


def _heed() -> list[int]:
    """Take signals while models load: SIGHUP would end the process, and process 1 of a container ignores SIGTERM.

    Returns:
        What holds a number for each SIGHUP from now on.
    """
    asked_again: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda number, _: asked_again.append(number))
    return asked_again


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        GanforgeError: no such host, or the port is taken or forbidden.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise GanforgeError(f"there is no host '{host}': {getattr(error, 'strerror', error)}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise GanforgeError(f"cannot listen at {host}, port {port}: {reason}; choose another with --port") from None
    return listener


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/"


def _server(app: App, limits: Limits, started: Callable[[], None], asked_again: Sequence[int]) -> uvicorn.Server:
    import uvicorn

    from ganforge.serve.connection import Connection

    class Server(uvicorn.Server):
        """uvicorn's, with signals of our own: it would die of the one that stopped it, and so seem to have failed."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop, number)
            loop.add_signal_handler(signal.SIGHUP, self.reload)
            if asked_again:
                self.reload()
            yield

        def stop(self, number: int) -> None:
            app.protocol.stopping = True
            self.handle_exit(number, None)

        def reload(self) -> None:
            self.reloading = asyncio.ensure_future(app.repository.reload())  # held, or it might be collected

    _log_plainly()
    config = uvicorn.Config(
        app,
        http=functools.partial(Connection, limits=limits),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(limits.read_timeout) or 1,
        backlog=BACKLOG,
    )
    return Server(config)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed: it takes a third of the time off each request."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _log_plainly() -> None:
    """uvicorn's warnings are of broken clients, which are no news; what else it says is said by us."""
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
