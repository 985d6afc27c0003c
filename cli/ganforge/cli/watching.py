"""How far an evaluation is, on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ganforge.cli.common import warn

if TYPE_CHECKING:
    from ganforge.core.evaluation import Watch


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """On stderr, a progress bar for each side in a terminal; anywhere else a line when a side is done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=console, transient=True)
    tasks: dict[str, TaskID] = {}

    def show_bar(what: str, done: int, of: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=of)
        bars.update(tasks[what], completed=done)

    def tell(what: str, done: int, of: int) -> None:
        if done == of and not quiet:
            warn(f"{of} samples: {what}")

    with bars if console.is_terminal and not quiet else nullcontext():
        yield show_bar if console.is_terminal and not quiet else tell
