"""Which pictures a command begins with, and where its own picture may go. Light.

A picture is named by its place: `SEED`, `SEED:NUMBER` for that number of `ganforge sample --seed SEED`, counted from 0,
or the .json file in which `ganforge invert` left a latent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ganforge.cli.common import open_run
from ganforge.cli.sweep import open_generator
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Generator

Source = Annotated[Path, typer.Argument(metavar="RUN_OR_FILE", help="A run directory, or an exported .onnx file.")]
Truncation = Annotated[
    float | None, typer.Option(min=0.01, help="Keep latents below this: less variety, fewer oddities.")
]
Label = Annotated[str | None, typer.Option(help="A class: its name or its number.", show_default="the picture's own")]


class InSpace(StrEnum):
    z = "z"
    w = "w"


Space = Annotated[
    InSpace, typer.Option(help="z, or w: the space of styles, which some generators have (a run's only).")
]

Pictures = tuple[np.ndarray, np.ndarray | None]
"""Latents float32 [n, width], and labels int64 [n] where the generator takes them."""


def open_images(source: Path, truncation: float | None = None, space: InSpace = InSpace.z) -> Generator:
    """A run's averaged generator, or an exported file's, of images; as a function of what `space` says.

    Raises:
        GanforgeError: neither of the two, or it makes points, or it cannot be given a w.
    """
    generator = open_generator(source) if space is InSpace.z else _open_styled(source)
    if generator.data.kind != "images":
        raise GanforgeError(f"{source} makes points, and this shows images; see them with: ganforge sample {source}")
    return generator.at(truncation)


def _open_styled(source: Path) -> Generator:
    if source.suffix == ".onnx":
        raise GanforgeError("a file takes z and no w; leave --space out, or give the run directory it came from")
    from ganforge.cli.explore.styles import Styled

    return Styled(open_run(source).game).generator


def find(generator: Generator, text: str, option: str, label: str | None = None) -> Pictures:
    """The pictures in `text`, places separated by commas: all of the class named, or each of its own.

    Raises:
        GanforgeError: not a place, no such class, a label for a generator that takes none.
    """
    check_label(generator, label)
    found = [_one(generator, place.strip(), option, label) for place in text.split(",")]
    latents = np.concatenate([latent for latent, _ in found])
    labels = [number for _, number in found if number is not None]
    return latents, np.concatenate(labels) if labels else None


def check_label(generator: Generator, label: str | None) -> None:
    """Refuse a class that the generator cannot be asked for; labels enter before w."""
    if label is None:
        return
    if not generator.labelled:
        raise GanforgeError("no label enters this generator beside its latents; leave --label out")
    generator.data.labels(1, label)


def _one(generator: Generator, place: str, option: str, label: str | None) -> Pictures:
    if place.endswith(".json"):
        latents, labels = _read(generator, Path(place))
    else:
        seed, colon, number = place.partition(":")
        if not (seed.removeprefix("-").isdecimal() and (number.isdecimal() or not colon)):
            raise GanforgeError(f"{option} takes SEED, SEED:NUMBER or a latent's .json, as in 1,5:3, not '{place}'")
        latents, labels = generator.draw(int(seed), 1, int(number or 0))
    return latents, labels if label is None else generator.data.labels(1, label)


def _read(generator: Generator, path: Path) -> Pictures:
    space, other = ("z", "w") if generator.draws is None else ("w", "z")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if space not in known and other in known:
            raise GanforgeError(f"{path} holds a {other}, and what is taken here is a {space}; give --space {other}")
        latents = np.asarray(known[space], np.float32)[None]
        label = known.get("label")
    except OSError as error:
        raise GanforgeError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise GanforgeError(f"{path} holds no latent; `ganforge invert` writes them") from None
    if latents.shape != (1, width := generator.latent.width):
        raise GanforgeError(f"the latent in {path} is another generator's: this one's have {width} numbers")
    if not generator.labelled:
        return latents, None
    return latents, generator.data.labels(1, label if label is None else str(label))


def check_out(out: Path, suffixes: Sequence[str] = (".png",)) -> None:
    """Refuse what cannot be written before any time is spent.

    Raises:
        GanforgeError: another kind of file, a folder, or a place where nothing can be written.
    """
    if out.is_dir():
        raise GanforgeError(f"{out} is a folder; give --out the name of a file, as in {out / 'picture'}{suffixes[0]}")
    if out.suffix.lower() not in suffixes:
        raise GanforgeError(f"--out takes a name that ends in {' or '.join(suffixes)}, not {out}")
    check_writable(out)


def check_writable(out: Path) -> None:
    """Refuse a place in a folder that cannot be written or made."""
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise GanforgeError(f"cannot write {out}: {parent} is no folder in which you may write")
