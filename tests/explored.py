"""Small runs for the commands around a trained generator, and how their pictures are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny
from PIL import Image

from ganforge.core import Run, train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

LABELLED = {"data": {"name": "tiny-pictures", "classes": 3}, "conditioning": "embedding"}
CELL = 66  # an 8×8 picture enlarged to 64, and its gap


def make(folder: Path, **changes: object) -> Path:
    """Train in FOLDER/run; returns it."""
    train(tiny.request(**changes), folder / "run", registry=Registry(files=[tiny.FILE], fallback=BUILTIN))
    return folder / "run"


def load(directory: Path) -> Run:
    return Run.load(directory, registry=Registry(files=[tiny.FILE], fallback=BUILTIN))


def cells(path: Path) -> np.ndarray:
    """The pictures of a grid of 8×8 ones, the first of those in a picture: int [rows, columns, 8, 8]."""
    sheet = np.asarray(Image.open(path)).astype(int)[2:, 2:]
    rows, columns = (sheet.shape[0] // CELL, sheet.shape[1] // CELL)
    sheet = sheet[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    return sheet.transpose(0, 2, 1, 3)[:, :, :64:8, :64:8]
