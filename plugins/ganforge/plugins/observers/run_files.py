"""What lies in a run directory, read so that a damaged file costs a warning and never the training."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from ganforge.core import GanforgeError
from ganforge.core.files import write_text

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("ganforge")
T = TypeVar("T")


class Snapshot(NamedTuple):
    """A sample picture and the round after which it was drawn."""

    round: int
    path: Path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects with a `round` in a JSON-lines file, in order; none where there is no file.

    Whatever else stands there (a line that a crash cut off) is left out.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [value for line in lines if (value := _parsed(line))]


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("round"), int) else None


def rewrite(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Make these the lines of a file of JSON lines."""
    try:
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    except GanforgeError as error:
        log.warning("%s keeps lines of rounds that will come again: %s", path.name, error)


def read_records(directory: Path, until: int) -> list[dict[str, float]]:
    """The run's records up to round `until`, oldest first; what was not finite is NaN."""
    lines = [line for line in read_lines(directory / "metrics.jsonl") if line["round"] <= until]
    whole = [{name: math.nan if value is None else value for name, value in line.items()} for line in lines]
    return [{name: value for name, value in line.items() if isinstance(value, int | float)} for line in whole]


def read_verdict(directory: Path, word: Literal["verdict", "told"] = "verdict") -> str:
    """What the alarms said of the run last: healthy, suspicious or failed, `told` with what was not judged; nothing
    where they said nothing."""
    try:
        return str(json.loads((directory / "verdict.json").read_text(encoding="utf-8"))[word])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def read_best(directory: Path) -> dict[str, Any] | None:
    """The `figure`, its `value` and the `round` of the best checkpoint, if one is kept."""
    try:
        score = json.loads((directory / "best" / "score.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return score if isinstance(score, dict) and {"figure", "value", "round"} <= score.keys() else None


def snapshots(directory: Path, until: int) -> list[Snapshot]:
    """The run's sample pictures up to round `until`, oldest first.

    Later ones, left by a crash after the checkpoint a run resumed from, are not this run's yet.
    """
    found = [Snapshot(int(p.stem), p) for p in (directory / "samples").glob("*.png") if p.stem.isdecimal()]
    return sorted(shot for shot in found if shot.round <= until)


def evenly(items: Sequence[T], n: int) -> list[T]:
    """At most `n` >= 2 of the items, evenly spread, the first and the last among them."""
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]


def open_picture(path: Path, limit: int) -> Image | None:
    """A picture as grey or RGB, no side longer than `limit` pixels; None (and a warning) if unreadable."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file.convert("L" if file.mode in ("1", "L") else "RGB")
    except Exception as error:  # Pillow raises whatever its decoders do: OSError, SyntaxError, struct.error …
        log.warning("%s is left out: it cannot be read (%s)", path, error)
        return None
    picture.thumbnail((limit, limit))
    return picture
