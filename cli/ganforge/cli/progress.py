"""What a person sees of a training: a live display in a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ganforge.core.config import images_per_round
from ganforge.core.observers import Record, RunInfo, RunObserver
from ganforge.plugins.observers.run_files import read_best, read_verdict

if TYPE_CHECKING:
    from ganforge.core.run import Run

CADENCE = 10.0
"""Seconds between two plain lines: enough to follow, few enough to keep a log readable."""


class Progress(RunObserver):
    """Shows a run on stderr. A context manager, because an error leaves the live display open."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.played = False
        self.live: Live | None = None
        self.shown = float("-inf")

    @property
    def first_process(self) -> bool:
        """Under torchrun, whether this process is the one that speaks."""
        return os.environ.get("RANK", "0") == "0"

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def run_started(self, info: RunInfo) -> None:
        self.played, self.info = True, info
        for line in introduction(info):
            self._print(line)
        if self.console.is_terminal:
            self.readings = Text("")
            columns = (
                TextColumn("round"),
                MofNCompleteColumn(),
                BarColumn(None),
                TextColumn("{task.description}"),
            )
            self.bar = Bar(*columns, console=self.console, expand=True)
            self.task = self.bar.add_task("starting", total=info.config.steps, completed=info.start)
            self.live = Live(Group(self.bar, self.readings), console=self.console, refresh_per_second=4)
            self.live.start()

    def step_logged(self, record: Record) -> None:
        speed, readings = pace(record, self.info), figures(record, self.info)
        last = record["round"] >= self.info.config.steps
        if self.live:
            self.bar.update(self.task, completed=record["round"], description=speed)
            self.readings.plain = readings
        elif last or time.monotonic() - self.shown >= CADENCE or any(key.startswith("score/") for key in record):
            self.shown = time.monotonic()
            self._print(f"round {record['round']:.0f}/{self.info.config.steps}  {speed}  {readings}")

    def run_finished(self, status: str) -> None:
        self._close()

    def _close(self) -> None:
        if self.live:
            self.live.stop()
        self.live = None

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)


def introduction(info: RunInfo) -> list[str]:
    """What is about to be trained, on what, where and how fast: two lines."""
    config, machine = info.config, info.config.machine
    source = config.data.values.get("path", config.data.name)
    classes = f", {_counted(len(info.data.classes), 'class', 'classes')}" if info.data.classes else ""
    threads = f", {_counted(machine.threads, 'thread')}" if machine.device == "cpu" else ""
    epochs = config.steps * images_per_round(config) / info.data_size
    start = f"from round {info.start} to {config.steps}" if info.start else _counted(config.steps, "round")
    return [
        f"{config.recipe.name} on {source}: {info.data_size:,} {info.data}{classes}",
        f"into {info.directory}: {start}, batches of {config.batch_size} ({epochs:.3g} epochs), "
        f"{machine.device}{threads}, {machine.precision}",
    ]


def _counted(n: int | None, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def pace(record: Record, info: RunInfo) -> str:
    """How fast, and how long it will take at that speed."""
    rate = record["images_per_second"]
    left = (info.config.steps - record["round"]) * images_per_round(info.config) / max(rate, 1e-9)
    return f"{rate:,.0f} images/s  {duration(left)} left"


def figures(record: Record, info: RunInfo) -> str:
    """What the critic says, as its loss wants it read, every player's loss, and the first score where there is one."""
    parts = []
    if "d_real" in record and "d_fake" in record:
        parts.append(f"{info.reading.label}: real {record['d_real']:.3f}, fake {record['d_fake']:.3f}")
    losses = {key.removeprefix("loss/"): value for key, value in record.items() if key.startswith("loss/")}
    if losses:
        parts.append("loss " + ", ".join(f"{player} {value:.3f}" for player, value in losses.items()))
    if score := next((key for key in record if key.startswith("score/")), None):
        parts.append(f"{score.removeprefix('score/')} {record[score]:.4g}")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _best(directory: Path) -> str:
    """What the best checkpoint scored, if one was kept."""
    score = read_best(directory)
    return f"{score['figure']} {score['value']:.4g} after round {score['round']:,}" if score else ""


def print_results(run: Run) -> None:
    """Where a run's pictures and report are, and what can be done with it next."""
    directory = run.directory
    pictures: list[Any] = [
        *sorted((directory / "samples").glob("*.png"))[-1:],
        *directory.glob("samples/*.gif"),
    ]
    shown = [*pictures, *directory.glob("report.html")]
    typer.echo("look at  " + "\n         ".join(str(path) for path in shown))
    if (verdict := read_verdict(directory)) not in ("", "healthy"):
        typer.echo(f"verdict  {verdict}: ganforge diagnose {directory}")
    if best := _best(directory):
        typer.echo(f"best     {directory / 'best'}: {best}")
    typer.echo(f"sample   ganforge sample {directory} --n 64 --seed 1 -o grid.png")
    if run.game.exports():
        typer.echo(f"export   ganforge export {directory} -o model.onnx")
