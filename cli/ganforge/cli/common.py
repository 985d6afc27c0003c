"""What several commands share: printing, JSON, times, opening a run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ganforge.core.errors import GanforgeError

if TYPE_CHECKING:
    from ganforge.core.run import Run

SECONDS = {"s": 1, "m": 60, "h": 3600}

WIDE = 1000
"""Columns of a table that goes into a pipe: no line is wrapped, so that grep finds whole ones."""


def warn(text: str) -> None:
    """One line to stderr; looked up at each call, because a live display puts itself in stderr's place."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """`value` as indented JSON on stdout; tuples are lists and paths are strings."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout: fitted to a terminal, on whole lines anywhere else."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(Text(heading))  # a plain string's brackets would be read as markup
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDE, highlight=False).print(table)


def paper_link(paper: str) -> str:
    """Where to read a paper: an arXiv id becomes an address, a citation stays as it is."""
    return f"https://arxiv.org/abs/{paper}" if paper[:4].isdigit() and paper[4:5] == "." else paper


def parse_budget(text: str) -> float:
    """`90s`, `10m` or `1h` in seconds.

    Raises:
        GanforgeError: anything else, or nothing.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found or float(found[1]) == 0:
        raise GanforgeError(f"--budget takes a time, as in 90s, 10m or 1h, not '{text}'")
    return float(found[1]) * SECONDS[found[2]]


def open_run(directory: Path, device: str = "auto") -> Run:
    """A run to sample, score or export, by default on whatever device this machine has: a GPU's run opens without one.

    Raises:
        GanforgeError: not a run directory, or one whose parts are not installed here.
    """
    if directory.is_file():
        raise GanforgeError(f"{directory} is a file; give the run directory it came from, or a file that ends in .onnx")
    from ganforge.core import Run

    return Run.load(directory, device=device)
