"""The verdict on a run: what is wrong in its last records, with all before them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from ganforge.core import GanforgeError, Reading
from ganforge.core.config import Config
from ganforge.plugins.observers.alarms import AlarmOptions
from ganforge.plugins.observers.alarms.limits import WARM_UP
from ganforge.plugins.observers.alarms.rules import Alarm, judge, values
from ganforge.plugins.observers.run_files import read_best, read_lines, read_records

Verdict = Literal["healthy", "suspicious", "failed"]
EXIT_CODES: dict[Verdict, int] = {"healthy": 0, "suspicious": 3, "failed": 4}


class Diagnosis(NamedTuple):
    """The worst of the alarms that still go on, after which round, and how many there were that have ended.

    `early` says that there are too few measurements yet for most alarms.
    """

    verdict: Verdict
    round: int
    alarms: list[Alarm]
    ended: int
    early: bool


def diagnose(directory: Path, config: Config, reading: Reading) -> Diagnosis:
    """Judge a run by what lies in its directory.

    Raises:
        GanforgeError: it has no records yet.
    """
    records = read_records(directory, config.steps)
    if not records:
        raise GanforgeError(f"{directory} has no records yet: its first comes after round {config.log_every}")
    # Of an older version's options those that are still there.
    chosen = {key: v for key, v in config.observers.get("alarms", {}).items() if key in AlarmOptions.model_fields}
    options = AlarmOptions.model_validate(chosen)
    found = judge(records, reading, config, options.patience, read_best(directory))
    alarms = [alarm for alarm in found if alarm.kind not in options.ignore]
    going_on = {(alarm.kind, alarm.about) for alarm in alarms}
    told = {(line.get("kind"), line.get("about")) for line in read_lines(directory / "alarms.jsonl")}
    severities = {alarm.severity for alarm in alarms}
    verdict: Verdict = "failed" if "failed" in severities else "suspicious" if severities else "healthy"
    judged = [round_ for round_, _ in values(records, "variety/coverage") if round_ > WARM_UP]
    return Diagnosis(
        verdict, int(records[-1]["round"]), alarms, len(told - going_on), early=len(judged) < options.patience
    )
