"""Training the rows, each seed once: what is finished is kept, what was interrupted goes on."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganforge.cli.compare import commands
from ganforge.cli.compare.asked import Machine, Scoring, digest
from ganforge.cli.compare.processes import Processes, Ran, last_words
from ganforge.cli.compare.progress import Tell
from ganforge.cli.compare.results import Point, Trained, Verdict, read_trained, write_trained
from ganforge.cli.compare.rows import Common, Entry
from ganforge.core.card import Score
from ganforge.core.errors import GanforgeError, TrainingFailed
from ganforge.core.files import locked, write_text
from ganforge.plugins.observers.run_files import read_lines

PATIENCE = 120.0
"""Seconds that starting a training may take on a busy machine, beside twice the budget."""

LOOK_AGAIN = 2.0
"""Seconds between two looks whether another process still trains in a run directory."""

VERDICTS: dict[int, Verdict] = {0: "healthy", 3: "suspicious", 4: "failed"}
"""What the exit codes of `diagnose` mean."""


class RowFailed(Exception):
    """A training or what follows it failed, in a way in which another try may not."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, how, and where it is kept. `budget` is in seconds."""

    out: Path
    entries: tuple[Entry, ...]
    common: Common
    scoring: Scoring
    budget: float
    seeds: int
    machine: Machine
    plugins: tuple[str, ...]
    keep_runs: bool

    def seeds_of(self, entry: Entry) -> range:
        """The seeds a row is trained with."""
        return range(entry.row.seeds or self.seeds)

    def kept(self, entry: Entry, seed: int) -> Trained | None:
        """A training's result, if there is one of the present settings."""
        return read_trained(self.result(entry, seed), self.digest(entry, seed))

    def digest(self, entry: Entry, seed: int | None) -> str:
        return digest(entry, seed, self.budget, self.scoring)

    def row(self, entry: Entry) -> Path:
        return self.out / "rows" / entry.row.slug

    def result(self, entry: Entry, seed: int) -> Path:
        return self.row(entry) / f"seed-{seed}.json"

    def run(self, entry: Entry, seed: int) -> Path:
        return self.out / "runs" / f"{entry.row.slug}-seed-{seed}"


def measure(comparison: Comparison, entry: Entry, processes: Processes) -> int:
    """The rounds that a row's budget allows; they are measured once and kept.

    Raises:
        RowFailed: it cannot be trained, or no round fits.
    """
    file, wanted = comparison.row(entry) / "rounds.json", comparison.digest(entry, None)
    with suppress(OSError, ValueError, KeyError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["digest"] == wanted:
            return int(kept["rounds"])
    rounds, seconds = _time_rounds(comparison, entry, processes)
    write_text(file, json.dumps({"digest": wanted, "rounds": rounds, "seconds_per_round": seconds}, indent=1) + "\n")
    return rounds


def _time_rounds(comparison: Comparison, entry: Entry, processes: Processes) -> tuple[int, float]:
    """The rounds that fit, and the seconds of each: of CPU, or of wall time on a GPU."""
    log = comparison.out / "runs" / f"{entry.row.slug}-measured.log"
    limit = 2 * comparison.budget + PATIENCE
    ran = processes.run(commands.measure(entry, comparison.common, comparison.budget), log, limit)
    if ran.seconds > limit:
        raise RowFailed(
            "timing its rounds takes longer than its budget: set a smaller batch_size, or narrower networks"
        )
    if ran.code:
        raise RowFailed(f"{_reason(ran, log)} (while its rounds were measured)")
    timed = json.loads(ran.out)
    return int(timed["rounds"]), timed["budget_seconds"] / timed["rounds"]


def play(comparison: Comparison, entry: Entry, seed: int, rounds: int, processes: Processes, tell: Tell) -> Trained:
    """Train, judge and draw one row with one seed; what comes of it is kept unless a second try may mend it."""
    try:
        trained = _play(comparison, entry, seed, rounds, processes, tell)
    except RowFailed as failure:
        return failed(comparison, entry, seed, failure)
    write_trained(comparison.result(entry, seed), trained)
    if not comparison.keep_runs:
        remove_run(comparison.run(entry, seed))
    return trained


def failed(comparison: Comparison, entry: Entry, seed: int, failure: RowFailed) -> Trained:
    """The result of what failed and is to be tried again."""
    return Trained(digest=comparison.digest(entry, seed), seed=seed, verdict="failed", reason=str(failure))


def _play(comparison: Comparison, entry: Entry, seed: int, rounds: int, processes: Processes, tell: Tell) -> Trained:
    run, log = comparison.run(entry, seed), _beside(comparison.run(entry, seed), "log")
    tell(f"trains {rounds:,} rounds")
    ran = train(comparison, entry, seed, rounds, processes, tell)
    records = read_lines(run / "metrics.jsonl")
    base = Trained(
        digest=comparison.digest(entry, seed),
        seed=seed,
        verdict="failed",
        reason=_reason(ran, log) if ran.code else "",
        rounds=int(records[-1]["round"]) if records else 0,
        minutes=_minutes(records, comparison.machine),
        images_per_second=statistics.median([r.get("images_per_second", 0) for r in records] or [0]),
        curve=tuple(curve(records, comparison.machine, comparison.scoring)),
        commands=_reproduction(comparison, entry, seed, rounds),
    )
    if ran.code:
        with suppress(RowFailed):  # why it stopped is known
            base = base.model_copy(update={"alarms": diagnose(run, processes, log)[1]})
        return base
    verdict, alarms = diagnose(run, processes, log)
    scores = []
    for command in commands.evaluate(run, entry, comparison.scoring):
        tell(f"is scored: {command[command.index('--metrics') + 1]}")
        scores += [Score.model_validate(score) for score in json.loads(_done([*command, "--json"], processes, log))]
    picture = comparison.result(entry, seed).with_suffix(".png")
    _done(commands.sample(run, entry, picture), processes, log)
    found = {"verdict": verdict, "alarms": alarms, "scores": tuple(scores), "picture": picture.name}
    return base.model_copy(update=found)


def train(comparison: Comparison, entry: Entry, seed: int, rounds: int, processes: Processes, tell: Tell) -> Ran:
    """Train into the run directory, or go on with what an interrupted training of the same settings left there.

    Raises:
        RowFailed: it ended in another way than finished or diverged.
    """
    run, log = comparison.run(entry, seed), _beside(comparison.run(entry, seed), "log")
    mark, wanted = _beside(run, "digest"), f"{comparison.digest(entry, seed)} {rounds}\n"
    if (run / "config.toml").exists() and mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        _wait_for_orphan(run, processes, tell)
        command = ["resume", str(run)]
    else:
        remove_run(run)
        write_text(mark, wanted)
        watching = commands.watching(rounds, comparison.scoring)
        command = commands.train(entry, comparison.common, rounds, seed, run, watching)
    ran = processes.run(command, log)
    if ran.code and not _diverged(ran, log):
        raise RowFailed(_reason(ran, log))
    return ran


def _reason(ran: Ran, log: Path) -> str:
    """Why a training ended, without what to do about it then."""
    if ran.code < 0:
        return f"its training was killed by signal {-ran.code}"
    words = last_words(log)
    return words.partition("; ")[0] if _diverged(ran, log) else words


def _diverged(ran: Ran, log: Path) -> bool:
    """Whether it was the training itself that failed: it would do so again."""
    return ran.code == TrainingFailed.exit_code and last_words(log).startswith("training stopped")


def _wait_for_orphan(run: Path, processes: Processes, tell: Tell) -> None:
    """A comparison that was killed leaves its training behind: let it finish, for it does what we want."""
    told = False
    while not processes.stopped.is_set():
        try:
            with locked(run):
                return
        except GanforgeError:
            if not told:
                tell(f"is still trained by a process that an earlier comparison left in {run}: waiting for it")
            told = True
            processes.stopped.wait(LOOK_AGAIN)


def _beside(run: Path, suffix: str) -> Path:
    """A file beside a run directory, which must be new when its training starts."""
    return run.with_name(f"{run.name}.{suffix}")


def remove_run(run: Path) -> None:
    """Delete a run and what lies beside it."""
    shutil.rmtree(run, ignore_errors=True)
    for suffix in ("log", "digest"):
        _beside(run, suffix).unlink(missing_ok=True)


def curve(records: Sequence[dict[str, Any]], machine: Machine, scoring: Scoring) -> Iterator[Point]:
    """The leading score in a run's records, over the minutes that its rounds took."""
    figure = scoring.lead.figure
    wanted = re.compile(rf"score/{figure}(_k\d+)?(_{scoring.features})?@")
    for done, record in enumerate(records, start=1):
        for name, value in record.items():
            if wanted.match(name) and value is not None:
                yield Point(_minutes(records[:done], machine), float(value))


def _minutes(records: Sequence[dict[str, Any]], machine: Machine) -> float:
    """What the rounds of some records took, without starting, scoring and writing: of CPU, or on a GPU's clock."""
    wanted = "cpu_seconds" if machine.device == "cpu" else "seconds"
    # A run that an older version began has the clock's alone.
    return sum(float(record.get(wanted, record["seconds"])) for record in records) / 60


def diagnose(run: Path, processes: Processes, log: Path) -> tuple[Verdict, tuple[dict[str, Any], ...]]:
    """The verdict on a run, and its alarms in words.

    Raises:
        RowFailed: it cannot be diagnosed.
    """
    ran = processes.run(["diagnose", str(run), "--json"], log)
    if ran.code not in VERDICTS:
        raise RowFailed(last_words(log))
    return VERDICTS[ran.code], tuple(json.loads(ran.out)["alarms"])


def _done(command: list[str], processes: Processes, log: Path) -> str:
    """The stdout of a command that must succeed."""
    ran = processes.run(command, log)
    if ran.code:
        raise RowFailed(f"{command[0]}: {last_words(log)}")
    return ran.out


def _reproduction(comparison: Comparison, entry: Entry, seed: int, rounds: int) -> tuple[str, ...]:
    """The commands that make the same training and the same scores anywhere."""
    run = Path("runs") / comparison.run(entry, seed).name
    train = commands.train(entry, comparison.common, rounds, seed, run)
    judged = commands.evaluate(run, entry, comparison.scoring)
    return tuple(commands.written(command, comparison.plugins) for command in (train, *judged))
