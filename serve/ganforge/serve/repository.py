"""The models of a server: where their files are, which are loaded, and how one takes another's place.

A model is a file, or a folder's: `NAME.onnx` is version 1 of NAME, `NAME/3/model.onnx` is version 3. Requests name
models, never files: no path is ever made from what a client sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganforge.core.card import Card
from ganforge.core.errors import GanforgeError, nearest
from ganforge.serve.batcher import Batcher
from ganforge.serve.errors import Refused
from ganforge.serve.limits import Limits
from ganforge.serve.measures import ModelStats
from ganforge.serve.model import Model, load
from ganforge.serve.pace import best_batch

LOG = logging.getLogger("ganforge.serve")
Files = dict[str, dict[str, Path]]
"""Of each model the file of each version."""


@dataclass(frozen=True)
class Served:
    """One version of a model, loaded."""

    name: str
    version: str
    card: Card
    device: str
    batcher: Batcher


class Repository:
    """Models by name and version. A request keeps the one it found: replacing it drops nothing."""

    def __init__(self, paths: Sequence[Path], limits: Limits, *, device: str = "auto", threads: int = 0) -> None:
        """Load every model that `paths`, files and folders, hold now.

        Args:
            threads: processor threads for each model, 0 for one per core.

        Raises:
            GanforgeError: a path that is none, a name taken twice, a file named that cannot be served, or nothing
                that can. What else a folder holds is logged and left out.
        """
        self._paths, self._limits = paths, limits
        self._device, self._threads = device, threads
        self._served: dict[str, dict[str, Served]] = {}
        self._reasons: dict[tuple[str, str], str] = {}
        self._stats: dict[tuple[str, str], ModelStats] = {}
        self._changing = asyncio.Lock()
        self._load_all()

    def get(self, name: str, version: str = "") -> Served:
        """The model of that name, by default its highest version.

        Raises:
            Refused: there is none, or it is not loaded.
        """
        versions = self._served.get(name)
        if not versions:
            raise Refused(404, f"unknown model '{name}'{nearest(name, self._served)}")
        if not version:
            return versions[max(versions, key=int)]
        if version not in versions:
            raise Refused(404, f"model '{name}' has no version '{version}'{nearest(version, versions)}")
        return versions[version]

    def loaded(self, name: str = "", version: str = "") -> list[Served]:
        """All that is served, or all versions of one model, or one.

        Raises:
            Refused: there is no such model.
        """
        if name:
            self.get(name, version)
        chosen = [self._served[name]] if name else list(self._served.values())
        return [one for versions in chosen for one in versions.values() if version in ("", one.version)]

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Every model and version with its state, or those that are ready."""
        known = {(one.name, one.version) for one in self.loaded()}
        states = [(key, "READY" if key in known else "UNAVAILABLE") for key in sorted({*known, *self._reasons})]
        return [
            {"name": name, "version": version, "state": state, "reason": self._reasons.get((name, version), "")}
            for (name, version), state in states
            if state == "READY" or not ready
        ]

    async def load(self, name: str) -> None:
        """Load, or load again, all versions of a model; until that is done the old ones answer.

        Raises:
            GanforgeError: there is no such model, or a version cannot be served: then nothing has changed.
        """
        async with self._changing:
            files = find(self._paths)
            if name not in files:
                raise Refused(404, f"unknown model '{name}'{nearest(name, files)}")
            opened = await asyncio.to_thread(self._open_all, name, files[name])
            self._served[name] = opened
            self._forget(name)

    async def unload(self, name: str) -> None:
        """Stop serving a model; what it was already asked is still answered.

        Raises:
            Refused: it is not loaded.
        """
        async with self._changing:
            for one in self.loaded(name):
                self._reasons[name, one.version] = "unloaded"
            del self._served[name]

    async def reload(self) -> None:
        """Take over what the files and folders hold now. What cannot be served is logged; the old one stays."""
        try:
            files = find(self._paths)
        except GanforgeError as error:
            LOG.error("nothing was loaded again: %s", error)
            return
        for name in files:
            try:
                await self.load(name)
            except GanforgeError as error:
                LOG.error("%s stays as it was: %s", name, error)
        for name in self._served.keys() - files.keys():
            with contextlib.suppress(Refused):  # a client may just have unloaded it
                await self.unload(name)

    def _load_all(self) -> None:
        named = {path for path in self._paths if not path.is_dir()}
        for name, versions in find(self._paths).items():
            for version, path in versions.items():
                try:
                    self._served.setdefault(name, {})[version] = self._open(name, version, path)
                except GanforgeError as error:
                    if path in named:
                        raise
                    LOG.error("%s", error)
                    self._reasons[name, version] = str(error)
        self._served = {name: versions for name, versions in self._served.items() if versions}
        if not self._served:
            places = ", ".join(map(str, self._paths))
            raise GanforgeError(f"there is no model to serve in {places}: NAME.onnx or NAME/1/model.onnx")

    def _open_all(self, name: str, versions: dict[str, Path]) -> dict[str, Served]:
        return {version: self._open(name, version, path) for version, path in versions.items()}

    def _open(self, name: str, version: str, path: Path) -> Served:
        try:
            return self._opened(name, version, path)
        except GanforgeError:
            raise
        except Exception as error:  # a stranger's file must not stop what is served, whatever is wrong with it
            raise GanforgeError(f"{path} cannot be served: {type(error).__name__}") from error

    def _opened(self, name: str, version: str, path: Path) -> Served:
        model = load(path, device=self._device, threads=self._threads, spin=False)
        check(model, path, self._limits)
        stats = self._stats.setdefault((name, version), ModelStats())
        usual = best_batch(model.run, functools.partial(_probe, model.card), self._limits.max_batch)
        most, queue = self._limits.max_batch, self._limits.max_queue
        at_once = 2 if model.device == "cpu" and self._threads != 1 else 1  # of a single thread, two would be two
        batcher = Batcher(model.run, max_batch=most, usual_batch=usual, max_queue=queue, at_once=at_once, stats=stats)
        return Served(name, version, model.card, model.device, batcher)

    def _forget(self, name: str) -> None:
        """What is said of versions that are loaded, or whose files have gone."""
        self._reasons = {key: reason for key, reason in self._reasons.items() if key[0] != name}


def find(paths: Sequence[Path]) -> Files:
    """The files that `paths` hold, by model and version.

    Raises:
        GanforgeError: a path that is none, a name taken twice.
    """
    files: Files = {}
    for path in paths:
        if not path.exists():
            raise GanforgeError(f"cannot read {path}: No such file or directory")
        for name, version, file in _in_folder(path) if path.is_dir() else [(path.stem, "1", path)]:
            if other := files.setdefault(name, {}).get(version):
                raise GanforgeError(f"{other} and {file} are both version {version} of model '{name}'; rename one")
            files[name][version] = file
    return files


def _in_folder(folder: Path) -> list[tuple[str, str, Path]]:
    single = [(file.stem, "1", file) for file in _visible(folder, "*.onnx")]
    numbered = [
        (file.parent.parent.name, file.parent.name, file)
        for file in _visible(folder, "*/*/model.onnx")
        if file.parent.name.isascii() and file.parent.name.isdecimal()
    ]
    return [*single, *numbered]


def _visible(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder, without what an export is writing or has left behind: its names begin with a dot."""
    files = sorted(folder.glob(pattern))
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def check(model: Model, path: Path, limits: Limits) -> None:
    """Run what the card promises, at its edges: a card that lies is found out before the first request.

    Raises:
        GanforgeError: its pictures are too large for this server, or the graph does not do what the card says.
    """
    shape = model.card.data.shape
    if int(np.prod(shape[1:])) > limits.max_pixels:
        raise GanforgeError(f"{path} makes pictures of {shape[1]}×{shape[2]}; the limit is {limits.max_pixels} pixels")
    for n in {1, min(2, limits.max_batch)}:
        output = model.run(_probe(model.card, n))
        if len(output) != n or not np.isfinite(output).all():
            raise GanforgeError(f"{path} makes {len(output)} samples of {n}, or samples that are no numbers")


def _probe(card: Card, n: int) -> dict[str, np.ndarray]:
    """A batch of the largest class the card names, and of what else is usual; of pictures as large as in training."""
    if card.image is not None:
        return card.feed_images(np.zeros((n, card.image.width, *card.trained_sides)))
    usual = {"label": len(card.data.classes) - 1}
    return {one.name: _column(one, n, usual.get(one.role, one.default or 0)) for one in card.inputs}


def _column(one: Any, n: int, value: float) -> np.ndarray:
    return np.full((n, one.width), value, dtype=one.dtype)
