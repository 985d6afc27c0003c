"""The report: RUN/report.html, one self-contained page with curves, pictures, alarms and settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ganforge.core import GanforgeError, Observer, Options, RunInfo, RunObserver, hookimpl

log = logging.getLogger("ganforge")


class Report(RunObserver):
    """Rewrites the page from what lies in the run directory, at each snapshot and at the end."""

    def run_started(self, info: RunInfo) -> None:
        self.info, self.round = info, info.start

    def step_logged(self, record: Any) -> None:
        self.round = int(record["round"])

    def snapshot_saved(self, round_: int, picture: Path) -> None:
        self.round = round_
        self._write("running")

    def run_finished(self, status: str) -> None:
        self._write(status)

    def _write(self, status: str) -> None:
        from ganforge.core.files import write_text
        from ganforge.plugins.observers.report import page

        try:
            write_text(self.info.directory / "report.html", page.render(self.info, self.round, status))
        except (GanforgeError, OSError, ValueError) as error:
            log.warning("the report is not up to date: %s", error)


def build(options: Options) -> RunObserver:
    return Report()


@hookimpl
def ganforge_observers() -> list[Observer[Any]]:
    return [Observer(name="report", summary="report.html: curves, pictures, alarms, settings", build=build)]
