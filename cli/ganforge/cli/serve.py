"""`ganforge serve`: exported files behind a standard protocol, and a page to play with."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli.common import warn
from ganforge.cli.options import Device
from ganforge.core.errors import GanforgeError

if TYPE_CHECKING:
    from ganforge.serve.repository import Repository

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.onnx…", help="Exported files, or folders with NAME.onnx and NAME/VERSION/model.onnx."
        ),
    ],
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for everybody who can reach this machine.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="Processor threads for each model; 0 for one per core.")] = 0,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="GANFORGE_API_KEY", help="Asked of every client; others see what stands here, so use the variable."
        ),
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="A web site whose pages may call, as in https://example.org; repeatable.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Samples in a batch, and in an inference request.")] = 32,
    max_queue: Annotated[int, typer.Option(min=1, help="Samples that may wait for a model; over it, 503.")] = 256,
    max_body: Annotated[int, typer.Option(min=1024, help="Bytes of a request's body.")] = 8 * 2**20,
    max_pixels: Annotated[int, typer.Option(min=1, help="Height × width × samples of one answer.")] = 2**22,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections open at once.")] = 512,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds from a request to its answer; over it, 503.")] = 30,
    read_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a client to send a request's head, and again its body.")
    ] = 10,
    log: Annotated[bool, typer.Option(help="A line of JSON on stderr for each request.")] = True,
) -> None:
    """Serve exported files over the Open Inference Protocol v2, with pictures and a page for people.

    SIGTERM answers what was accepted and stops; SIGHUP loads the files again and drops nothing.

    Example: ganforge serve model.onnx --port 8000
    """
    from ganforge.serve.app import Access
    from ganforge.serve.limits import Limits
    from ganforge.serve.server import serve as serve_

    if api_key is not None and not (api_key := api_key.strip()):  # as a file that holds it ends in a new line
        raise GanforgeError("the API key is empty; leave it out, or give one")
    limits = Limits(max_batch, max_queue, max_body, max_pixels, max_connections, timeout, read_timeout)
    access = Access(api_key, tuple(cors or ()))
    options = {"host": host, "port": port, "device": device, "threads": threads}
    exposed = host if host not in LOOPBACK and api_key is None else None
    started = functools.partial(_say, exposed)
    whole = serve_(files, **options, limits=limits, access=access, log=log, started=started)  # type: ignore[arg-type]
    typer.echo("stopped; every request accepted was answered" if whole else "stopped at once; some were not answered")


def _say(exposed: str | None, repository: Repository, address: str) -> None:
    if exposed:
        warn(f"warning: everybody who can reach {exposed} may use these models; set GANFORGE_API_KEY to ask for a key")
    for one in repository.loaded():
        typer.echo(f"{one.name} version {one.version}: {one.card.recipe} for {one.card.data}, on {one.device}")
    typer.echo(f"open {address} or call {address}v2/models/{repository.loaded()[0].name}")
