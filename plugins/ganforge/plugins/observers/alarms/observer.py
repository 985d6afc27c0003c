"""Tells what looks wrong while a run is played: once to a person, once an episode to RUN/alarms.jsonl."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ganforge.core import GanforgeError, Record, RunInfo, RunObserver
from ganforge.core.files import write_text
from ganforge.plugins.observers.alarms import AlarmOptions
from ganforge.plugins.observers.alarms.diagnosis import diagnose
from ganforge.plugins.observers.alarms.limits import Judged
from ganforge.plugins.observers.alarms.rules import Alarm, judge
from ganforge.plugins.observers.run_files import read_best, read_lines, read_records, rewrite

log = logging.getLogger("ganforge")


class Episodes:
    """Makes of alarms news: one is new the first time, and again only after `calm` records without it."""

    def __init__(self, calm: int) -> None:
        self.calm = calm
        self.absent: dict[tuple[str, str], int] = {}

    def news(self, alarms: Sequence[Alarm]) -> list[Alarm]:
        """The alarms of one record that were not going on already."""
        fresh = [alarm for alarm in alarms if (alarm.kind, alarm.about) not in self.absent]
        present = {(alarm.kind, alarm.about) for alarm in alarms}
        waited = {key: n + 1 for key, n in self.absent.items() if key not in present and n + 1 < self.calm}
        self.absent = waited | dict.fromkeys(present, 0)
        return fresh


class Alarms(RunObserver):
    """Judges every record; writes what is new to alarms.jsonl and to the log."""

    def __init__(self, options: AlarmOptions) -> None:
        self.options = options

    def run_started(self, info: RunInfo) -> None:
        self.info, self.path = info, info.directory / "alarms.jsonl"
        self.records: list[Record] = []
        self.episodes = Episodes(self.options.calm)
        self.told: set[tuple[str, str]] = set()
        self._drop_alarms_beyond(info.start)
        # What was going on at the checkpoint is not news after it.
        for record in read_records(info.directory, info.start):
            self._news(record)

    def step_logged(self, record: Record) -> None:
        for alarm in self._news(record):
            # A person is told once of each trouble; its every return is in the file and counted in the report.
            told = (alarm.kind, alarm.about) in self.told
            log.log(
                logging.INFO if told else logging.WARNING, "round %d: %s %s", alarm.round, alarm.message, alarm.advice
            )
            self.told.add((alarm.kind, alarm.about))
            self._write(alarm)

    def snapshot_saved(self, round_: int, picture: Path) -> None:
        self._write_verdict()

    def run_finished(self, status: str) -> None:
        self._write_verdict()

    @property
    def _judged(self) -> Judged:
        return Judged(self.info.config, self.info.data, self.info.reading)

    def _write_verdict(self) -> None:
        """RUN/verdict.json, for the report and whoever else wants it."""
        if not self.records:
            return
        found = diagnose(self.info.directory, self._judged)
        try:
            told = {"verdict": found.verdict, "round": found.round, "told": f"{found.verdict}{found.reservation}"}
            write_text(self.info.directory / "verdict.json", json.dumps(told))
        except GanforgeError as error:
            log.warning("the verdict is not written: %s", error)

    def _news(self, record: Record) -> list[Alarm]:
        self.records.append(record)
        best, patience = read_best(self.info.directory), self.options.patience
        found = judge(self.records, self._judged, patience, best)
        return self.episodes.news([alarm for alarm in found if alarm.kind not in self.options.ignore])

    def _write(self, alarm: Alarm) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(alarm)) + "\n")
        except OSError as error:
            log.warning("the alarm is not in %s: %s", self.path, error)

    def _drop_alarms_beyond(self, start: int) -> None:
        if not self.path.exists():
            return
        kept = [alarm for alarm in read_lines(self.path) if alarm["round"] <= start]
        rewrite(self.path, kept)
