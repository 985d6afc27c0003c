"""What an evaluation judges: a run or an exported file, as samples by number, and the data it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganforge.cli.common import open_run
from ganforge.core.config import DataConfig, load_data, names_folder
from ganforge.core.data import Data, DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Generator
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.core.versions import installed

if TYPE_CHECKING:
    from ganforge.serve import Model

log = logging.getLogger("ganforge")


@dataclass(frozen=True)
class Subject:
    """A generator and the seed of the samples that are judged, the data set it learned from (keys of the config, and
    its fingerprint), and what a score should tell of it."""

    generator: Generator
    seed: int
    trained_on: dict[str, Any]
    fingerprint: str
    known: dict[str, str | int | float]

    @property
    def data(self) -> DataSpec:
        return self.generator.data

    @property
    def about(self) -> dict[str, str | int | float]:
        truncation = self.generator.truncation
        return self.known if truncation is None else {**self.known, "truncation": truncation}

    def at(self, truncation: float | None) -> Subject:
        """The same with its samples truncated."""
        return replace(self, generator=self.generator.at(truncation))

    def sample(self, start: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Samples `start` … `start + n`, uint8 [n, C, H, W] or points float32 [n, 2], and their labels int64 [n]."""
        return self.generator.sampler(self.seed)(start, n)


def open_subject(source: Path, seed: int, truncation: float | None, device: str) -> Subject:
    """A run's averaged generator in torch, or an exported file's in onnxruntime.

    Raises:
        GanforgeError: neither of the two, or damaged, or no such device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise GanforgeError(f"--device takes auto, cpu or cuda, not '{device}'")
    subject = _of_file(source, seed, device) if source.suffix == ".onnx" else _of_run(source, seed, device)
    return subject.at(truncation)


def _of_file(source: Path, seed: int, device: str) -> Subject:
    from ganforge.serve import load

    return of_model(load(source, device=device), seed)


def of_model(model: Model, seed: int) -> Subject:
    """An exported file's generator."""
    card = model.card
    resolution = {"resolution": card.data.shape[-1]} if card.data.kind == "images" else {}
    trained_on = {"name": card.dataset, **card.dataset_options, **resolution}
    runtime = f"onnxruntime {installed('onnxruntime') or installed('onnxruntime-gpu')}"
    known = _known(card.recipe, card.rounds, card.config_sha256, runtime)
    return Subject(model.generator, seed, trained_on, card.data_fingerprint, known)


def _of_run(source: Path, seed: int, device: str) -> Subject:
    run = open_run(source, device)
    generator = run.game.averaged_generator  # loads the checkpoint, and with it the round
    known = _known(run.config.recipe.name, run.round, run.config.digest(), f"torch {installed('torch')}")
    return Subject(generator, seed, run.config.data.model_dump(), run.fingerprint, known)


def _known(recipe: str, rounds: int, config: str, sampled_by: str) -> dict[str, str | int | float]:
    return {"recipe": recipe, "rounds": rounds, "config": config, "sampled by": sampled_by}


def load_splits(
    subject: Subject, name: str | None, overrides: Mapping[str, Any], registry: Registry
) -> tuple[Data, Data]:
    """The training and the test split of the data set named, or of the one it was trained on, at its size.

    Args:
        name: a data set's or a folder's; None for what it was trained on.
        overrides: keys of the config's `data` that win.

    Raises:
        GanforgeError: the data set is not there, or its samples are of another shape than what is generated.
    """
    values = {**_data_values(subject, name, registry), **overrides}
    config = parse(DataConfig, values, "data")
    training, test = load_data(config, registry, "train"), load_data(config, registry, "test")
    if training.spec.shape != subject.data.shape:
        raise GanforgeError(f"the samples are {subject.data}, and '{config.name}' has {training.spec}")
    if name is None and training.fingerprint != subject.fingerprint:
        log.warning("the data is not what the generator was trained on: it has changed, or its options are not known")
    return training, test


def _data_values(subject: Subject, name: str | None, registry: Registry) -> dict[str, Any]:
    trained_on = subject.trained_on
    if name is None or name == trained_on["name"] != "folder":
        if trained_on["name"] == "folder" and "path" not in trained_on:
            raise GanforgeError("the generator was trained on a folder of pictures: name it with --data FOLDER")
        return trained_on
    size = {"resolution": subject.data.shape[-1]} if subject.data.kind == "images" else {}
    if names_folder(name, registry):
        options = trained_on if trained_on["name"] == "folder" else {}
        folder = {"name": "folder", "path": str(Path(name).absolute()), "channels": subject.data.shape[0]}
        return {**options, **size, **folder}
    if (kind := registry.find("dataset", name).kind) != subject.data.kind:
        raise GanforgeError(f"the samples are {subject.data}, and '{name}' has {kind}")
    return {"name": name, **size}
