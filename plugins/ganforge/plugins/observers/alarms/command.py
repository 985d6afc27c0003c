"""`ganforge diagnose`: is it collapsing? In words, and as an exit code for scripts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ganforge.plugins.observers.alarms.diagnosis import EXIT_CODES, Diagnosis
from ganforge.plugins.observers.alarms.diagnosis import diagnose as diagnose_
from ganforge.plugins.observers.alarms.limits import WARM_UP, Judged


def diagnose(
    run: Annotated[Path, typer.Argument(help="A run directory; it may still be in training.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say whether a training is healthy: exit code 0, 3 if it is suspicious, 4 if it has failed.

    Example: ganforge diagnose runs/first
    """
    from ganforge.core import Run

    opened = Run.load(run)
    reading = opened.registry.find("loss", opened.config.loss.name).reading
    found = diagnose_(run, Judged(opened.config, opened.data, reading))
    typer.echo(json.dumps(_plain(found), indent=2) if as_json else _told(found))
    raise typer.Exit(EXIT_CODES[found.verdict])


def _plain(found: Diagnosis) -> dict[str, object]:
    return {**found._asdict(), "alarms": [asdict(alarm) for alarm in found.alarms]}


def _told(found: Diagnosis) -> str:
    lines = [f"{found.verdict} after round {found.round:,}{found.reservation}"]
    for alarm in found.alarms:
        sentence = alarm.message[:1].upper() + alarm.message[1:]
        lines.append(f"\n{alarm.severity}: {alarm.kind}\n  {sentence}\n  {alarm.advice}")
    if found.early:
        lines.append(f"\nit is early: most alarms want several measurements after round {WARM_UP:,}, by `health`")
    if found.unjudged:
        lines.append(f"\nvariety was not judged: {found.unjudged}")
    if found.ended:
        lines.append(f"\n{found.ended} earlier alarm{'s have' if found.ended > 1 else ' has'} ended; see alarms.jsonl")
    return "\n".join(lines)
