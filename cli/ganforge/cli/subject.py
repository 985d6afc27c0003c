"""What an evaluation judges: a run or an exported file, as samples by number, and the data it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganforge.cli.common import installed, open_run
from ganforge.core.config import DataConfig, load_data, names_folder
from ganforge.core.data import Data, DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.options import parse
from ganforge.core.registry import Registry

if TYPE_CHECKING:
    from ganforge.core.evaluation import Sampler

log = logging.getLogger("ganforge")


@dataclass(frozen=True)
class Subject:
    """A generator: its samples (uint8 [n, C, H, W] or points), what it makes, the data set it learned from (keys of
    the config, and its fingerprint), and what a score should tell of it."""

    sample: Sampler
    data: DataSpec
    trained_on: dict[str, Any]
    fingerprint: str
    about: dict[str, str | int | float]


def open_subject(source: Path, seed: int, truncation: float | None, device: str) -> Subject:
    """A run's averaged generator in torch, or an exported file's in onnxruntime.

    Raises:
        GanforgeError: neither of the two, or damaged, or no such device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise GanforgeError(f"--device takes auto, cpu or cuda, not '{device}'")
    if source.suffix == ".onnx":
        return _of_file(source, seed, truncation, device)
    return _of_run(source, seed, truncation, device)


def _of_file(source: Path, seed: int, truncation: float | None, device: str) -> Subject:
    from ganforge.serve import load

    model = load(source, device=device)
    card = model.card

    def sample(start: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        samples = model.sample(n, seed, start=start, truncation=truncation, batch_size=n)
        labels = card.data.labels(n, start=start) if card.labelled else None
        return samples.transpose(0, 3, 1, 2) if samples.ndim == 4 else samples, labels

    resolution = {"resolution": card.data.shape[-1]} if card.data.kind == "images" else {}
    trained_on = {"name": card.dataset, **card.dataset_options, **resolution}
    runtime = f"onnxruntime {installed('onnxruntime') or installed('onnxruntime-gpu')}"
    about = _about(card.recipe, card.rounds, card.config_sha256, runtime, truncation)
    return Subject(sample, card.data, trained_on, card.data_fingerprint, about)


def _of_run(source: Path, seed: int, truncation: float | None, device: str) -> Subject:
    from ganforge.core.evaluate import game_sampler

    run = open_run(source, device)
    sample = game_sampler(run.game, seed, truncation)  # loads the checkpoint, and with it the round
    about = _about(run.config.recipe.name, run.round, run.config.digest(), f"torch {version('torch')}", truncation)
    return Subject(sample, run.data, run.config.data.model_dump(), run.fingerprint, about)


def _about(
    recipe: str, rounds: int, config: str, sampled_by: str, truncation: float | None
) -> dict[str, str | int | float]:
    known: dict[str, str | int | float] = {
        "recipe": recipe,
        "rounds": rounds,
        "config": config,
        "sampled by": sampled_by,
    }
    return known if truncation is None else {**known, "truncation": truncation}


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
