"""`ganforge sample --sweep`: what the codes of a generator's latent came to stand for, a grid for each."""

from __future__ import annotations

from pathlib import Path

from ganforge.cli.common import open_run
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Generator
from ganforge.core.pictures import grid, save_picture, to_pixels

COLUMNS = 10


def sweep_codes(
    source: Path, out: Path, seed: int, label: str | None, truncation: float | None, columns: int | None
) -> str:
    """Write OUT/code-0.png, …, one for each code; returns what was done. A model with labels is swept in one class.

    Raises:
        GanforgeError: no folder to write into; the model has no codes, makes points, or the label does not fit it.
    """
    if out.suffix:
        raise GanforgeError(f"--sweep makes a picture for each code; give --out a new folder, not {out}")
    generator = open_generator(source).at(truncation)
    latent, data, labelled, make, *_ = generator
    codes, columns = len(latent.categorical) + latent.continuous, columns or COLUMNS
    if not codes:
        raise GanforgeError(f"{source} has no codes beside its noise; leave --sweep out")
    if data.kind != "images":
        raise GanforgeError(f"--sweep makes grids of images, and {source} makes points")
    if labelled and label is None:
        raise GanforgeError(f"{source} takes labels; choose the class to sweep in with --label")
    if label is not None and not labelled:
        raise GanforgeError(f"{source} was trained without labels; leave --label out")
    for code in range(codes):
        latents = latent.sweep(code, seed, columns, truncation=generator.bound).reshape(-1, latent.width)
        labels = data.labels(len(latents), label) if labelled else None
        save_picture(grid(to_pixels(make(latents, labels)), columns), out / f"code-{code}.png")
    return f"a picture for each of {codes} codes in {out}"


def open_generator(source: Path) -> Generator:
    """A run's averaged generator, or an exported file's."""
    if source.suffix == ".onnx":
        from ganforge.serve import load

        return load(source).generator
    return open_run(source).game.averaged_generator
