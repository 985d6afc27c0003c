"""`folder`: any folder of images, a class per subfolder where there are some. `--data PATH` means this."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator

from ganforge.core import (
    ArrayData,
    Data,
    DataRequest,
    Dataset,
    DataSpec,
    GanforgeError,
    Options,
    UnpairedData,
    hookimpl,
)
from ganforge.core.data import Split
from ganforge.plugins.datasets import decode
from ganforge.plugins.datasets.common import split_indices

RESOLUTION = 64  # unless asked otherwise
THREADS = min(16, os.cpu_count() or 1)  # Pillow decodes and resizes outside Python's lock
DOMAINS = ("A", "B")  # as the folders of CycleGAN's data sets are called, trainA and trainB
HELD_OUT_NAMES = ("test", "val")
SPLITS: tuple[Split, ...] = ("train", "test")
SHOWN = 3  # unreadable files named in the warning

T = TypeVar("T")
log = logging.getLogger("ganforge")


class FolderOptions(Options):
    """Where the pictures are and how they are kept."""

    path: str = Field(
        min_length=1,
        description="the folder; a subfolder for each class, or none; in train and test, or not; or trainA and trainB",
    )
    pairs: bool = Field(False, description="each file is a pair of pictures side by side, A|B, for translation")
    channels: Literal[3, 1] = Field(3, description="3: colour; 1: grey")
    memory_gib: float = Field(4.0, ge=0, description="kept in memory up to this; beyond, read again")

    @field_validator("path")
    @classmethod
    def absolute(cls, path: str) -> str:
        """A run may be resumed from another folder than it was started in."""
        return str(Path(path).expanduser().absolute())


def load(options: FolderOptions, request: DataRequest) -> Data:
    """One split of the folder's readable pictures; one in ten is held out, by the hash of its name.

    As data sets for translation are distributed, a split may have a subfolder of its own: `trainA` and `trainB`, with
    or without `testA` and `testB`, are two domains; pairs may lie in `train` and in `test` or `val`. A folder of
    nothing but `train` and `test` or `val` (of both it is `test`) has these as its splits, each with the same classes
    as subfolders.

    Raises:
        GanforgeError: the folder cannot be read, or holds no readable picture, or none for this split, or the splits
            have other classes.
    """
    folder = Path(options.path)
    if split := _is_split(folder) and not options.pairs:
        _check_classes(folder)
    if split or options.pairs:
        return _load(*_own(folder, "", request.split), options, request)
    if not all((folder / f"train{domain}").is_dir() for domain in DOMAINS):
        return _load(folder, False, options, request)
    sides = tuple(_load(*_own(folder, domain, request.split), options, request) for domain in DOMAINS)
    return UnpairedData(sides[0].spec.model_copy(update={"classes": (), "domains": DOMAINS}), sides)


def _is_split(folder: Path) -> bool:
    """Whether all that a folder holds is pictures for training and others that are held out."""
    try:
        visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:  # which `find` has the words for
        return False
    seen = {path.name for path in visible if path.is_dir() or path.suffix.lower() in decode.SUFFIXES}
    return "train" in seen and bool(seen & set(HELD_OUT_NAMES)) and seen <= {"train", *HELD_OUT_NAMES}


def _check_classes(folder: Path) -> None:
    """See that a class has the same number in both splits."""
    train, test = (_own(folder, "", split)[0] for split in SPLITS)
    ours, theirs = (find_classes(find(path), path) for path in (train, test))
    if ours != theirs:
        odd = sorted({*ours} ^ {*theirs})[0]
        raise GanforgeError(
            f"the classes in {train} and in {test} differ, as by '{odd}': give both the same subfolders, two or more"
        )


def _own(folder: Path, domain: str, split: Split) -> tuple[Path, bool]:
    """Where a split of a domain lies, and whether that is all of the folder: a held-out split has its own or none."""
    training = folder / f"train{domain}"
    if not training.is_dir():
        return folder, False
    held_out = [folder / f"{name}{domain}" for name in HELD_OUT_NAMES]
    found = next((path for path in held_out if path.is_dir()), None)
    return (training, found is not None) if split == "train" or found is None else (found, True)


def _load(folder: Path, whole: bool, options: FolderOptions, request: DataRequest) -> Data:
    """The pictures of one folder: all of them, or those of the split."""
    resolution = request.resolution or RESOLUTION
    names = find(folder)
    problems = dict(zip(names, _in_threads(lambda name: decode.check(folder / name), names), strict=True))
    readable = [name for name in names if not problems[name]]
    if not readable:
        first = f"{names[0]}: {problems[names[0]]}"
        raise GanforgeError(f"none of the {len(names)} image files in {folder} can be read ({first})")
    keys = [os.fsencode(name) for name in readable]
    chosen = range(len(keys)) if whole else split_indices(keys, request.split, str(folder))
    shape = (options.channels, resolution, resolution)
    pairs: dict[str, Any] = {"domains": DOMAINS, "paired": True} if options.pairs else {}
    spec = DataSpec(shape=shape, classes=() if options.pairs else find_classes(readable, folder), **pairs)
    data: Data = (lazy := LazyImages(spec, folder, tuple(readable[i] for i in chosen)))
    if len(chosen) * math.prod(spec.stacked) <= options.memory_gib * 2**30:
        data, late = _in_memory(lazy)
        problems.update(late)
    _report({name: problem for name, problem in problems.items() if problem}, len(names), folder)
    return data


def find(folder: Path) -> list[str]:
    """Image files below `folder`, known by their suffix, as sorted relative paths with `/`.

    Names with a leading dot are left alone; links to folders are followed.

    Raises:
        GanforgeError: the folder cannot be read or has no image files.
    """
    try:
        os.listdir(folder)  # noqa: PTH208  asked for its error: not there, not a folder, not allowed
    except OSError as error:
        raise GanforgeError(f"cannot read image folder {folder}: {error.strerror}") from None
    names = sorted(path.relative_to(folder).as_posix() for path in _walk(folder))
    if not names:
        known = ", ".join(sorted(decode.SUFFIXES))
        raise GanforgeError(f"there is no image in {folder}: no file's name ends in one of {known}")
    return names


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()
    for directory, folders, files in os.walk(folder, followlinks=True, onerror=_warn_unlisted):
        status = os.stat(directory)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above it would go round forever
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = (Path(directory, name) for name in files if not name.startswith("."))
        yield from (path for path in visible if path.suffix.lower() in decode.SUFFIXES)


def _warn_unlisted(error: OSError) -> None:
    log.warning("cannot read folder %s: %s; its images are left out", error.filename, error.strerror)


def find_classes(names: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Sorted names of the subfolders, if every image lies in one and there are at least two; else no classes.

    Images in a single subfolder have no class: many downloads unpack like that.
    """
    tops = {name.partition("/")[0] for name in names if "/" in name}
    loose = sum("/" not in name for name in names)
    if tops and loose:
        log.warning(
            "%d of %d images lie in %s itself, not in a subfolder: all are used, and none has a class",
            loose, len(names), folder,
        )  # fmt: skip
        return ()
    return tuple(sorted(tops)) if len(tops) > 1 else ()


@dataclass(frozen=True)
class LazyImages:
    """Pictures read and decoded when they are asked for. `names` are relative to `folder`."""

    spec: DataSpec
    folder: Path
    names: tuple[str, ...]
    fingerprint: str = field(init=False)
    warned: set[str] = field(default_factory=set, init=False, compare=False)
    lazy = True  # the stream of batches fetches ahead

    def __post_init__(self) -> None:
        """Files are known by name, size and time of change: reading them would take as long as an epoch."""
        digest = hashlib.sha256(f"{self.spec.shape}{self.spec.classes}".encode())
        for name in self.names:
            status = (self.folder / name).stat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
        object.__setattr__(self, "fingerprint", digest.hexdigest())

    def __len__(self) -> int:
        return len(self.names)

    def fetch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """See `Data.fetch`. A picture that turns out damaged is replaced by the next one, with its class."""
        rows = _in_threads(self._read, [int(index) for index in indices])
        return np.stack([image for image, _ in rows]), self.labels([name for _, name in rows])

    def labels(self, names: Sequence[str]) -> np.ndarray | None:
        """The classes of files, int64 [n], or None where there are none."""
        numbers = {name: number for number, name in enumerate(self.spec.classes)}
        return np.array([numbers[name.partition("/")[0]] for name in names], np.int64) if numbers else None

    def decode(self, name: str) -> np.ndarray:
        """One picture; raises what `decode.decode` raises."""
        channels, resolution, _ = self.spec.shape
        return decode.decode(self.folder / name, resolution, channels, max(1, len(self.spec.domains)))

    def _read(self, index: int) -> tuple[np.ndarray, str]:
        for step in range(len(self)):
            name = self.names[(index + step) % len(self)]
            try:
                return self.decode(name), name
            except Exception as error:  # any: see decode.decode
                self._warn(name, decode.reason(error))
        raise GanforgeError(f"none of the {len(self)} images in {self.folder} can be read any more")

    def _warn(self, name: str, reason: str) -> None:
        if name not in self.warned:  # once, not in every epoch
            self.warned.add(name)
            log.warning("%s cannot be read (%s): another image takes its place", self.folder / name, reason)


def _in_memory(lazy: LazyImages) -> tuple[ArrayData, dict[str, str]]:
    """All pictures decoded once, and what was wrong with those that could not be.

    Raises:
        GanforgeError: none could be.
    """
    samples = np.empty((len(lazy), *lazy.spec.stacked), np.uint8)

    def fill(index: int) -> str:
        try:
            samples[index] = lazy.decode(lazy.names[index])
        except Exception as error:  # any: see decode.decode
            return decode.reason(error)
        return ""

    problems = dict(zip(lazy.names, _in_threads(fill, range(len(lazy))), strict=True))
    good = [index for index, name in enumerate(lazy.names) if not problems[name]]
    if not good:
        raise GanforgeError(f"none of the {len(lazy)} images of this split of {lazy.folder} can be read")
    for place, index in enumerate(good):
        if place != index:  # moved up in place: a copy of what is left could need the memory twice
            samples[place] = samples[index]
    labels = lazy.labels([lazy.names[index] for index in good])
    return ArrayData(lazy.spec, samples[: len(good)], labels), problems


def _in_threads(function: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))


def _report(problems: dict[str, str], total: int, folder: Path) -> None:
    """Say how many files are left out, and name the first."""
    if problems:
        shown = [f"{name} ({problem})" for name, problem in sorted(problems.items())[:SHOWN]]
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        log.warning(
            "%d of %d files in %s cannot be read and are left out: %s%s",
            len(problems), total, folder, ", ".join(shown), more,
        )  # fmt: skip


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    summary = f"any folder of images, optionally a subfolder per class; {RESOLUTION}×{RESOLUTION} by default"
    return [Dataset(name="folder", summary=summary, options=FolderOptions, load=load)]
