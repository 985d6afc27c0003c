"""Commands of ganforge, each in a process of its own, and all of which can be stopped at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ganforge.core.errors import Interrupted


class Ran(NamedTuple):
    """How a command ended: exit code (negative: the signal that killed it), seconds on the clock, and its stdout."""

    code: int
    seconds: float
    out: str


class Processes:
    """Runs commands, from several threads if need be, until it is stopped."""

    def __init__(self, plugins: Sequence[str], threads: int) -> None:
        self.flags = [word for plugin in plugins for word in ("--plugin", plugin)]
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.stopped = threading.Event()
        self._living: set[subprocess.Popen[bytes]] = set()

    def run(self, arguments: Sequence[str], log: Path, limit: float = float("inf")) -> Ran:
        """Run a command to its end, its stderr behind what is in `log`; after `limit` seconds it is killed.

        Raises:
            Interrupted: all are being stopped.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as errors, tempfile.TemporaryFile() as out:
            if self.stopped.is_set():
                raise Interrupted("stopped")
            began = time.monotonic()
            code = self._wait(self._start(arguments, out, errors), limit)
            out.seek(0)
            ran = Ran(code, time.monotonic() - began, out.read().decode("utf-8", errors="replace"))
        if self.stopped.is_set():
            raise Interrupted("stopped")
        return ran

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask every command to stop: a training saves its round first. Nothing new is started."""
        self.stopped.set()
        for process in list(self._living):
            process.send_signal(how)

    def _start(self, arguments: Sequence[str], out: IO[bytes], errors: IO[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ganforge.cli", *self.flags, *arguments]
        # In a session of its own: Ctrl-C reaches us alone, and we pass it on once. Twice would cut a training short.
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=self.environment, start_new_session=True)
        self._living.add(process)
        if self.stopped.is_set():  # since it was looked at: nobody else will tell this one
            process.terminate()
        return process

    def _wait(self, process: subprocess.Popen[bytes], limit: float) -> int:
        """The exit code of a process, which is killed after `limit` seconds."""
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self._living.discard(process)


def last_words(log: Path) -> str:
    """The sentence with which the last command in a log failed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    told = [line.strip() for line in lines if line.strip()]
    return told[-1].removeprefix("error: ") if told else "it said nothing"
