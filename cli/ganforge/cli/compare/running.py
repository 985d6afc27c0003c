"""Running a comparison: measure, train, and write the pages anew whenever something is known."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TypeVar

from ganforge.cli.common import warn
from ganforge.cli.compare import playing
from ganforge.cli.compare.playing import Comparison, RowFailed
from ganforge.cli.compare.processes import Processes
from ganforge.cli.compare.progress import Progress
from ganforge.cli.compare.results import Trained
from ganforge.cli.compare.rows import Entry
from ganforge.cli.compare.writing import Key, Written, write
from ganforge.core.errors import GanforgeError, Interrupted
from ganforge.core.files import locked

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """A row to train with a seed."""

    entry: Entry
    seed: int

    @property
    def key(self) -> Key:
        return self.entry.row.slug, self.seed


def check_out(out: Path | None) -> Path:
    """The folder of the comparison, nothing written yet.

    Raises:
        GanforgeError: none was given, or it holds something else.
    """
    if out is None:
        raise GanforgeError("a comparison needs a folder: give it with --out")
    if out.exists() and not out.is_dir():
        raise GanforgeError(f"{out} is a file; give --out a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "rows").is_dir():
        raise GanforgeError(
            f"{out} holds no comparison; give --out a new folder, or that of a comparison to go on with"
        )
    return out


def run(comparison: Comparison) -> Written:
    """Train what is due, the first seed of every row first, and write the pages.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; every training saved its round, and the same command goes on.
    """
    tasks = [Task(entry, seed) for entry in comparison.entries for seed in comparison.seeds_of(entry)]
    tasks.sort(key=lambda task: task.seed)
    found = {task.key: comparison.kept(task.entry, task.seed) for task in tasks}
    results = {key: trained for key, trained in found.items() if trained}
    due = [task for task in tasks if task.key not in results]
    for folder in ("rows", "runs"):
        (comparison.out / folder).mkdir(parents=True, exist_ok=True)
    with locked(comparison.out / "runs"):
        if due:
            Session(comparison, due, results).play()
    _tidy(comparison)
    return write(comparison, results)


def _tidy(comparison: Comparison) -> None:
    """Without runs to keep, nothing but scores and pictures stays."""
    runs = comparison.out / "runs"
    if not comparison.keep_runs and not any(path.is_dir() for path in runs.iterdir()):
        shutil.rmtree(runs)


class Session:
    """The trainings that are due, `jobs` at once, each told of on stderr; what they come to goes into `results`."""

    def __init__(self, comparison: Comparison, due: Sequence[Task], results: dict[Key, Trained]) -> None:
        machine = comparison.machine
        self.comparison, self.due, self.results = comparison, due, results
        self.processes = Processes(comparison.plugins, machine.threads)
        self.progress = Progress(len(due), comparison.budget / machine.threads, machine.jobs)
        self.writing = threading.Lock()
        self.rounds: dict[str, int | RowFailed] = {}

    def play(self) -> None:
        """Measure every row, then train; the pages are written anew after each."""
        entries = {task.entry.row.slug: task.entry for task in self.due}
        warn(f"trainings to do: {len(self.due)}; measuring how many rounds fit (rows: {len(entries)})")
        with _stopping(self.processes, self.comparison.out):
            self._at_once(self._measure, list(entries.values()))
            self._at_once(self._train, self.due)

    def _measure(self, entry: Entry) -> None:
        try:
            self.rounds[entry.row.slug] = playing.measure(self.comparison, entry, self.processes)
        except RowFailed as failure:
            self.rounds[entry.row.slug] = failure

    def _train(self, task: Task) -> None:
        entry, seed = task.entry, task.seed
        tell = self.progress.start(f"{entry.row.title}, seed {seed},")
        if isinstance(rounds := self.rounds[entry.row.slug], RowFailed):
            trained = playing.failed(self.comparison, entry, seed, rounds)
        else:
            trained = playing.play(self.comparison, entry, seed, rounds, self.processes, tell)
        self.progress.done()
        tell(f"failed: {trained.reason}" if trained.reason else f"is {trained.verdict}")
        with self.writing:
            self.results[task.key] = trained
            write(self.comparison, self.results)

    def _at_once(self, work: Callable[[T], None], items: Sequence[T]) -> None:
        """Do the work on all items; the first error stops what is running."""
        pool = ThreadPoolExecutor(self.comparison.machine.jobs)
        try:
            for future in as_completed([pool.submit(work, item) for item in items]):
                future.result()
        except BaseException:
            self.processes.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)  # waits for trainings that save their round


@contextmanager
def _stopping(processes: Processes, out: Path) -> Iterator[None]:
    """Make of Ctrl-C and of SIGTERM a stop that says how to go on; a second one kills what is still running."""

    def handler(number: int, frame: FrameType | None) -> None:
        if not processes.stopped.is_set():
            raise KeyboardInterrupt
        processes.stop(signal.SIGKILL)

    here = threading.current_thread() is threading.main_thread()
    previous = {one: signal.signal(one, handler) for one in (signal.SIGINT, signal.SIGTERM)} if here else {}
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        raise Interrupted(f"stopped; the same command goes on with {out}") from None
    finally:
        for one, former in previous.items():
            signal.signal(one, former)
