"""`ganforge sample`: pictures from a run or from an exported file, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ganforge.cli.common import open_run
from ganforge.cli.sweep import sweep_codes
from ganforge.core.errors import GanforgeError
from ganforge.core.pictures import grid, save_picture, scatter, to_pixels

if TYPE_CHECKING:
    from ganforge.core.run import Run


def sample(
    source: Annotated[Path, typer.Argument(metavar="RUN_OR_FILE", help="A run directory, or an exported .onnx file.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many; a sweep needs no number.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same pictures, from a run and from a file.")] = 0,
    label: Annotated[str | None, typer.Option(help="A class: its name or its number.")] = None,
    truncation: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Keep latents below this, or styles so near to their mean: less variety, fewer oddities."
        ),
    ] = None,
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row of the grid.")] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="What each code does: a grid for each, in the folder given by --out.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A .png for a grid, or a new folder for single pictures.")
    ] = Path("samples.png"),
) -> None:
    """Draw samples from a run or a file.

    Images become a grid in one picture, or single pictures in a folder; points become a scatter plot.

    Example: ganforge sample model.onnx --n 64 --seed 1 -o grid.png
    """
    check_out(out)
    if sweep:
        typer.echo(sweep_codes(source, out, seed, label, truncation, columns))
        return
    if source.suffix == ".onnx":
        from ganforge.serve import load

        model = load(source)
        samples = model.sample(n, seed, label=label, truncation=truncation)
        labels = model.card.data.labels(n, label) if model.card.labelled else None
    else:
        run = open_run(source)
        samples, labels = from_run(run, n, seed, label, truncation), class_numbers(run, n, label)
    write(samples, out, columns, labels if columns is None else None)
    typer.echo(f"{n} samples of seed {seed} in {out}")


def check_out(out: Path) -> None:
    """Refuse what cannot be written before any time is spent.

    Raises:
        GanforgeError: neither a .png nor a folder that is new or empty.
    """
    if out.is_dir():
        if any(out.iterdir()):
            raise GanforgeError(f"folder {out} is not empty; give --out a new one, or a name that ends in .png")
    elif out.suffix.lower() not in ("", ".png"):
        raise GanforgeError(f"pictures are written as PNG; give --out a name that ends in .png, or a folder, not {out}")
    elif out.exists() and not out.suffix:
        raise GanforgeError(f"{out} is a file; give --out a new folder, or a name that ends in .png")


def from_run(run: Run, n: int, seed: int, label: str | None, truncation: float | None) -> np.ndarray:
    """Samples of a run as an exported file gives them: uint8 [n, H, W, C], or points float32 [n, 2].

    Translations come beside what was translated.
    """
    samples = run.preview(n, seed, truncation=truncation, labels=class_numbers(run, n, label))
    return to_pixels(samples) if samples.ndim == 4 else samples


def class_numbers(run: Run, n: int, label: str | None) -> np.ndarray | None:
    """Each sample's class, int64 [n]: the one named, or all in turn; None where the generator takes none.

    Raises:
        GanforgeError: the generator takes no label, or there is no such class.
    """
    if not run.labelled:
        if label is not None:
            raise GanforgeError(f"{run.directory} was trained without labels; leave --label out")
        return None
    return run.data.labels(n, label)


def write(samples: np.ndarray, out: Path, columns: int | None, labels: np.ndarray | None = None) -> None:
    """Write uint8 [n, H, W, C] as a grid or, in a folder, as 000000.png, …; points [n, 2] as one plot.

    Samples with `labels` [n] have a row for each class.
    """
    if samples.ndim == 2:
        save_picture(scatter(samples), out if out.suffix else out / "points.png")
    elif out.suffix and not out.is_dir():
        save_picture(grid(samples, columns, labels), out)
    else:
        for i, picture in enumerate(samples):
            save_picture(picture, out / f"{i:06d}.png")
