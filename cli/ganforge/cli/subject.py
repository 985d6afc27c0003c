"""What an evaluation judges: a run or an exported file, as samples by number, and the data it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganforge.cli.common import open_run
from ganforge.core.config import DataConfig, load_data
from ganforge.core.data import Data, DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.options import parse
from ganforge.core.pictures import to_pixels
from ganforge.core.registry import Registry

if TYPE_CHECKING:
    from ganforge.core.evaluation import Sampler


@dataclass(frozen=True)
class Subject:
    """A generator: its samples (uint8 [n, C, H, W] or points), what it makes, and the data set it learned from."""

    sample: Sampler
    data: DataSpec
    trained_on: dict[str, Any]


def open_subject(source: Path, seed: int, truncation: float | None, device: str) -> Subject:
    """A run's averaged generator in torch, or an exported file's in onnxruntime.

    Raises:
        GanforgeError: neither of the two, or damaged.
    """
    if source.suffix == ".onnx":
        return _of_file(source, seed, truncation, device)
    return _of_run(source, seed, truncation)


def _of_file(source: Path, seed: int, truncation: float | None, device: str) -> Subject:
    from ganforge.serve import load

    model = load(source, device=device)
    card = model.card

    def sample(start: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        samples = model.sample(n, seed, start=start, truncation=truncation, batch_size=n)
        labels = card.data.labels(n, start=start) if card.labelled else None
        return samples.transpose(0, 3, 1, 2) if samples.ndim == 4 else samples, labels

    resolution = {"resolution": card.data.shape[-1]} if card.data.kind == "images" else {}
    return Subject(sample, card.data, {"name": card.dataset, **resolution})


def _of_run(source: Path, seed: int, truncation: float | None) -> Subject:
    run = open_run(source)

    def sample(start: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        samples = run.sample(n, seed, start=start, truncation=truncation)
        labels = run.data.labels(n, start=start) if run.labelled else None
        return to_pixels(samples).transpose(0, 3, 1, 2) if samples.ndim == 4 else samples, labels

    return Subject(sample, run.data, run.config.data.model_dump())


def load_splits(subject: Subject, name: str | None, root: str | None, registry: Registry) -> tuple[Data, Data]:
    """The training and the test split of the data set named, or of the one it was trained on, at its size.

    Raises:
        GanforgeError: the data set is not there, or its samples are of another shape than what is generated.
    """
    values = dict(subject.trained_on)
    if name is not None and name != values["name"]:
        folder = name not in registry.all("dataset") and ("/" in name or Path(name).is_dir())
        values = {"name": "folder", "path": str(Path(name).absolute())} if folder else {"name": name}
        if (kind := registry.find("dataset", values["name"]).kind) != subject.data.kind:
            raise GanforgeError(f"the samples are {subject.data}, and '{name}' has {kind}")
        values["resolution"] = subject.data.shape[-1] if kind == "images" else None
    config = parse(DataConfig, {**values, "root": root or values.get("root")}, "data")
    training, test = load_data(config, registry, "train"), load_data(config, registry, "test")
    if training.spec.shape != subject.data.shape:
        raise GanforgeError(f"the samples are {subject.data}, and '{config.name}' has {training.spec}")
    return training, test
