"""`ganforge augment`: samples of every class as a folder of pictures, to learn from alone or beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ganforge.cli.common import print_json
from ganforge.cli.explore.places import Source, Truncation, check_writable
from ganforge.cli.options import DataRoot, Json
from ganforge.cli.subject import load_splits, open_subject
from ganforge.cli.watching import watching
from ganforge.core.data import Data
from ganforge.core.errors import GanforgeError
from ganforge.core.files import atomic_directory
from ganforge.core.latents import Generator
from ganforge.core.pictures import save_picture
from ganforge.core.registry import default_registry

if TYPE_CHECKING:
    from ganforge.core.evaluation import Watch

BATCH = 64


def augment(
    source: Source,
    per_class: Annotated[int, typer.Option(min=1, help="Samples of each class.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder; it gets a subfolder for each class.")],
    with_real: Annotated[
        bool, typer.Option("--with-real", help="Also the pictures of the training split it learned from.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(help="Those pictures: a set's name or a folder.", show_default="what it learned from")
    ] = None,
    data_root: DataRoot = None,
    seed: Annotated[int, typer.Option(min=0, help="Which samples.")] = 0,
    truncation: Truncation = None,
    as_json: Json = False,
) -> None:
    """Write samples of every class as pictures, in a folder that `--data` takes.

    A folder's classes are in the order of their names. A name's `/` becomes `-`.

    Example: ganforge augment runs/labelled --per-class 100 --with-real --out augmented
    """
    check_folder(out)
    subject = open_subject(source, seed, truncation, "auto")
    generator = subject.generator
    if generator.data.kind != "images" or not generator.labelled:
        raise GanforgeError(f"{source} makes no images of chosen classes; train one with --conditioning NAME")
    if data is not None and not with_real:
        raise GanforgeError("--data names the pictures of --with-real; give both")
    folders = folder_names(generator.data.classes)
    real = None
    if with_real:
        given = {} if data_root is None else {"root": data_root}
        real = load_splits(subject, data, given, default_registry())[0]
        if real.spec.classes != generator.data.classes:
            raise GanforgeError("the classes of the data are not the generator's; name the data it learned from")
    with watching(quiet=as_json) as watch, atomic_directory(out) as temporary:
        write_samples(generator, seed, per_class, [temporary / name for name in folders], watch)
        if real is not None:
            write_real(real, [temporary / name for name in folders], watch)
    made, learned = per_class * len(folders), 0 if real is None else len(real)
    channels, _, width = generator.data.shape
    again = f"--data {out} --resolution {width}" + " --set data.channels=1" * (channels == 1)
    if as_json:
        print_json({"folder": out, "classes": folders, "samples": made, "real": learned, "take": again})
    else:
        typer.echo(f"{made} samples and {learned} real pictures of {len(folders)} classes; take them with {again}")


def check_folder(out: Path) -> None:
    """Refuse a place where no new folder can be made."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise GanforgeError(f"{out} exists already; give --out a new folder")
    check_writable(out)


def folder_names(classes: Sequence[str]) -> list[str]:
    """A folder's name for each class.

    Raises:
        GanforgeError: two classes have one, or one would be hidden.
    """
    folders = [name.replace("/", "-").replace("\\", "-") for name in classes]
    if len(set(folders)) < len(folders) or any(name.startswith(".") or not name.strip() for name in folders):
        raise GanforgeError("the names of these classes make no folders of their own")
    return folders


def write_samples(generator: Generator, seed: int, per_class: int, folders: Sequence[Path], watch: Watch) -> None:
    """As many samples of each class: picture i of the seed is of class i modulo their number, as in `sample`."""
    total, sample = per_class * len(folders), generator.sampler(seed)
    for start in range(0, total, BATCH):
        n = min(BATCH, total - start)
        pixels, labels = sample(start, n)
        assert labels is not None
        _write(pixels, labels, folders, "sample", start)
        watch("pictures of every class", start + n, total)


def write_real(real: Data, folders: Sequence[Path], watch: Watch) -> None:
    """The pictures of a split."""
    for start in range(0, len(real), BATCH):
        rows = np.arange(start, min(start + BATCH, len(real)))
        pixels, labels = real.fetch(rows)
        assert labels is not None
        _write(pixels, labels, folders, "real", start)
        watch("real pictures", start + len(rows), len(real))


def _write(pixels: np.ndarray, labels: np.ndarray, folders: Sequence[Path], kind: str, start: int) -> None:
    """uint8 [n, C, H, W] as FOLDER/KIND-000000.png, numbered through."""
    for i, (picture, label) in enumerate(zip(pixels.transpose(0, 2, 3, 1), labels, strict=True)):
        save_picture(picture, folders[label] / f"{kind}-{start + i:06d}.png")
