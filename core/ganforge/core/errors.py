"""Errors a user can act on: one sentence, what was wrong, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GanforgeError(Exception):
    """Bad input. The command line prints the sentence and exits with `exit_code`; no traceback."""

    exit_code = 2


class TrainingFailed(GanforgeError):
    """The training itself went wrong (non-finite values): nobody's input is to blame."""

    exit_code = 1


class Interrupted(GanforgeError):
    """The user pressed Ctrl-C; what was reached is saved."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'a' or 'b'?`, or the whole choice when nothing is near."""
    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=3, cutoff=0.5):
        return "; did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return f"; there is {', '.join(names)}" if names else "; there is none"


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> GanforgeError:
    """The error for a name nobody registered, with the nearest that somebody did."""
    return GanforgeError(f"unknown {kind} '{name}'{f' in {where}' if where else ''}{nearest(name, known)}")
