"""Runs that were never trained: what observers see of one, for their tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ganforge.core import DataSpec, Reading, RunInfo, RunObserver
from ganforge.core.config import Component, Config, DataConfig
from ganforge.core.pictures import save_picture
from ganforge.plugins.observers.alarms.limits import Judged

PROBABILITY = Reading("D(x)", even=0.5, healthy=(0.3, 0.7), zero_is_failure=True)
SCORE = Reading("critic score")


def config(**changes: Any) -> Config:
    values: dict[str, Any] = {
        "recipe": Component(name="some-gan"),
        "data": DataConfig(name="pictures"),
        "architecture": Component(name="some-net"),
        "loss": Component.model_validate({"name": "some-loss", "smoothing": "none"}),
        "batch_size": 10,
    }
    return Config(**{**values, **changes})


def judged(reading: Reading = PROBABILITY, **changes: Any) -> Judged:
    return Judged(config(**changes), DataSpec(shape=(1, 8, 8)), reading)


def info(directory: Path, reading: Reading = PROBABILITY, start: int = 0, **changes: Any) -> RunInfo:
    """A run of 100 pictures in batches of 10: a round is a tenth of an epoch."""
    return RunInfo(directory, config(**changes), DataSpec(shape=(1, 8, 8)), 100, reading, start)


def record(round_: int, **changes: float) -> dict[str, float]:
    """The record of a healthy round; `loss_discriminator` stands for `loss/discriminator` and so on."""
    healthy = {
        "round": round_,
        "images": round_ * 10,
        "epoch": round_ / 10,
        "seconds": 1.0,
        "cpu_seconds": 1.0,
        "images_per_second": 100.0,
        "loss/discriminator": 1.2,
        "d_real": 0.6,
        "d_fake": 0.4,
        "gradient_norm/discriminator": 2.0,
        "diversity": 0.8,
        "loss/generator": 0.9,
        "gradient_norm/generator": 1.5,
    }
    names = {name.replace("/", "_"): name for name in healthy}
    return healthy | {names.get(name, name): value for name, value in changes.items()}


def log(directory: Path, records: Iterable[dict[str, float]], *observers: RunObserver) -> None:
    """Append records to metrics.jsonl and show them to observers, as the loop does."""
    directory.mkdir(parents=True, exist_ok=True)
    for one in records:
        with (directory / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")
        for observer in observers:
            observer.step_logged(one)


def picture(directory: Path, round_: int, size: tuple[int, int] = (16, 16), channels: int = 1) -> Path:
    """A sample picture of one shade, which differs from round to round."""
    path = directory / "samples" / f"{round_:06d}.png"
    save_picture(np.full((*size, channels), (round_ * 37) % 256, np.uint8), path)
    return path
