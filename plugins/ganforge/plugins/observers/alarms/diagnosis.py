"""The verdict on a run: what is wrong in its last records, with all before them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ganforge.core import GanforgeError, Record
from ganforge.core.config import Config
from ganforge.plugins.observers.alarms import AlarmOptions
from ganforge.plugins.observers.alarms.limits import WARM_UP, Judged
from ganforge.plugins.observers.alarms.rules import Alarm, judge
from ganforge.plugins.observers.run_files import read_best, read_lines, read_records

Verdict = Literal["healthy", "suspicious", "failed"]
EXIT_CODES: dict[Verdict, int] = {"healthy": 0, "suspicious": 3, "failed": 4}


class Diagnosis(NamedTuple):
    """The worst of the alarms that still go on, after which round, and how many there were that have ended.

    `early` says that there are too few measurements of variety yet, which most alarms want; `unjudged`, why there will
    be no more of them.
    """

    verdict: Verdict
    round: int
    alarms: list[Alarm]
    ended: int
    early: bool
    unjudged: str | None

    @property
    def reservation(self) -> str:
        """What to say behind a verdict that variety had no part in; else nothing."""
        blind = self.verdict == "healthy" and (self.early or self.unjudged)
        return ", as far as losses and gradients tell" if blind else ""


def diagnose(directory: Path, run: Judged) -> Diagnosis:
    """Judge a run by what lies in its directory.

    Raises:
        GanforgeError: it has no records yet.
    """
    config = run.config
    records = read_records(directory, config.steps)
    if not records:
        raise GanforgeError(f"{directory} has no records yet: its first comes after round {config.log_every}")
    # Of an older version's options those that are still there.
    chosen = {key: v for key, v in config.observers.get("alarms", {}).items() if key in AlarmOptions.model_fields}
    options = AlarmOptions.model_validate(chosen)
    found = judge(records, run, options.patience, read_best(directory))
    alarms = [alarm for alarm in found if alarm.kind not in options.ignore]
    going_on = {(alarm.kind, alarm.about) for alarm in alarms}
    told = {(line.get("kind"), line.get("about")) for line in read_lines(directory / "alarms.jsonl")}
    severities = {alarm.severity for alarm in alarms}
    verdict: Verdict = "failed" if "failed" in severities else "suspicious" if severities else "healthy"
    enough = len(_measured(records, WARM_UP)) >= options.patience
    unjudged = None if enough else _unjudged(records, config, options.patience)
    return Diagnosis(
        verdict,
        int(records[-1]["round"]),
        alarms,
        len(told - going_on),
        early=not enough and unjudged is None,
        unjudged=unjudged,
    )


def _measured(records: Sequence[Record], after: int) -> list[Record]:
    return [record for record in records if "variety/coverage" in record and record["round"] > after]


def _unjudged(records: Sequence[Record], config: Config, patience: int) -> str | None:
    """Why variety was measured too seldom to be judged, where no more measurements are to come."""
    if "health" not in config.observers:
        return "the observer `health` is off"
    round_ = records[-1]["round"]
    first = min(config.observers["health"].get("every", config.steps), config.steps)
    if round_ >= first and not _measured(records, 0):
        return (
            "`health` looks at a critic and a generator that takes latents, in one process; not at translations, at "
            "games without a discriminator, nor with several processes"
        )
    if round_ >= config.steps:
        return f"the training ended before {patience} measurements after round {WARM_UP:,}"
    return None
