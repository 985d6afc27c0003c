"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ganforge.core.errors import GanforgeError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes `path`'s place, else it goes.

    Raises:
        GanforgeError: the file system refused (disk full, no permission); what stood at `path` still does.
    """
    temporary = Path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=path.suffix)
        temporary = Path(name)
        os.close(handle)
        os.chmod(temporary, 0o644)  # noqa: PTH101  mkstemp's 0600 would lock out the server that deploys it
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise GanforgeError(
            f"could not write {path}: {error.strerror or error}; what was there before is untouched"
        ) from error
    finally:
        if temporary.name:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """The same for a directory: yield an empty one, which takes the place of `path` on success."""
    temporary, old = (path.parent / f".{kind}-{path.name}" for kind in ("tmp", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise GanforgeError(f"could not write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync(path: Path) -> None:
    """Ask the disk to keep `path` (a file, or a directory's list of names) through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory, made where it is missing, for one process; the system lets go when the process dies, however.

    Raises:
        GanforgeError: another process holds it, or the file system refused.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise GanforgeError(f"could not write {directory}: {error.strerror or error}") from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GanforgeError(f"another process is training in {directory}; wait for it, or stop it first") from None
        yield


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str) -> None:
    """Append one line; a reader must expect the last one to be cut off by a crash."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise GanforgeError(f"could not write {path}: {error.strerror or error}") from error


def cache_directory() -> Path:
    """Where what can be made again is kept: `GANFORGE_CACHE`, or `ganforge` in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GANFORGE_CACHE") or Path(home) / "ganforge")
