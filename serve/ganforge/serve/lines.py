"""The request log, written by a thread of its own: a terminal or a pipe that stalls must not stall the server."""

from __future__ import annotations

import contextlib
import os
import queue
import threading


class Lines:
    """Lines on their way to a file descriptor. While it takes none, so many are kept and later ones dropped."""

    def __init__(self, descriptor: int, most: int = 10_000) -> None:
        # Not through sys.stderr: the interpreter cannot end while a thread waits inside it.
        self._descriptor, self._most = descriptor, most
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True, name="ganforge-log")
        self._thread.start()

    def __call__(self, line: str) -> None:
        if self._queue.qsize() < self._most:
            self._queue.put(line)

    def close(self, patience: float = 1.0) -> None:
        """Write what is left, for at most so many seconds."""
        self._queue.put(None)
        self._thread.join(patience)

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            left = memoryview(line.encode() + b"\n")
            with contextlib.suppress(OSError):  # nobody reads any more
                while left:
                    left = left[os.write(self._descriptor, left) :]
