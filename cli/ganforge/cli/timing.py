"""How long a training would take here, before it is begun."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.cli.common import parse_budget, warn
from ganforge.cli.request import lengths, without_length
from ganforge.core.errors import GanforgeError

if TYPE_CHECKING:
    from ganforge.core.rehearsal import Pace


def pace_of(wanted: Mapping[str, Any]) -> Pace:
    """Time what is asked for, and find the rounds that fit where that is a budget.

    Raises:
        GanforgeError: bad input, a budget beside another length, or one in which no round fits.
    """
    from ganforge.core import rehearse

    budget = wanted.get("budget")
    if budget is None:
        return rehearse(wanted).whole()
    seconds = parse_budget(str(budget))
    rest = {key: value for key, value in wanted.items() if key != "budget"}
    if others := sorted(lengths(rest)):
        raise GanforgeError(f"give one of steps, epochs, images and budget, not budget and {others[0]}")
    rehearsal = rehearse(rest)
    warn(f"timing rounds, to see how many fit into {budget}")
    return rehearsal.within(seconds)


def within_budget(wanted: Mapping[str, Any], out: Path | None) -> dict[str, Any]:
    """What is asked for, with the rounds that fit in place of the budget; nothing is timed where `out` is taken."""
    from ganforge.core.run import check_new

    if out is not None:
        check_new(out)
    timed = pace_of(wanted)
    warn(sentence(timed))
    return {**without_length(wanted), "steps": timed.rounds}


def told(timed: Pace) -> dict[str, Any]:
    """A pace for programs."""
    return {
        "rounds": timed.rounds,
        "seconds": timed.time.clock,
        "cpu_seconds": timed.time.cpu,
        "budget_seconds": timed.seconds,
        "device": timed.device,
    }


def sentence(timed: Pace) -> str:
    """A pace in words."""
    from ganforge.cli.progress import duration

    cpu = f", {duration(timed.time.cpu)} of CPU" if timed.device == "cpu" else ""
    each = timed.time.clock / timed.rounds
    average = f"{1000 * each:.3g} ms" if each < 1 else f"{each:.3g} s"
    return (
        f"{timed.rounds:,} rounds take about {duration(timed.time.clock)} here{cpu}, {average} each on average; "
        "scores, pictures and checkpoints come on top"
    )
