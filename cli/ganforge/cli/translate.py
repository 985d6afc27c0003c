"""`ganforge translate`: pictures through an exported file that translates them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from PIL import Image

from ganforge.cli.common import warn
from ganforge.cli.options import Device
from ganforge.cli.sample import check_out
from ganforge.core.errors import GanforgeError
from ganforge.core.pictures import save_picture

if TYPE_CHECKING:
    from ganforge.serve import Model


def translate(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="An exported file that translates pictures.")],
    pictures: Annotated[Path, typer.Argument(help="A picture, or a folder of pictures.")],
    out: Annotated[Path, typer.Argument(help="A new folder; or a .png for a single picture.")],
    longest: Annotated[
        int | None, typer.Option(min=8, help="Shrink larger pictures to this longer side first.", show_default="none")
    ] = None,
    device: Device = "auto",
) -> None:
    """Translate pictures from the one domain that a file learned into the other, or enlarge them.

    Each becomes a PNG of the same name and size, or so many times the size as the file says; sides that the network
    cannot take are filled up and cut again. Pictures become grey or colour as the file was trained; what is transparent
    lies on white.

    Example: ganforge translate horse-to-zebra.onnx photos/ zebras/
    """
    from rich.console import Console
    from rich.progress import track

    from ganforge.serve import load

    check_out(out)
    if file.is_dir():
        raise GanforgeError(f"{file} is a folder; give a file that `ganforge export` wrote")
    model = load(file, device=device)
    colours = "grey" if model.image.width == 1 else "colour"
    targets = _targets(pictures, out)
    console = Console(stderr=True)
    shown = track(targets.items(), "translating", console=console, transient=True, disable=not console.is_terminal)
    done = sum(_translated(model, source, target, longest, alone=source == pictures) for source, target in shown)
    if not done:
        raise GanforgeError(f"none of the {len(targets)} files could be translated; each says why above")
    typer.echo(f"{done} {colours} picture{'' if done == 1 else 's'} in {out}")


def _targets(pictures: Path, out: Path) -> Mapping[Path, Path]:
    """What each picture becomes.

    Raises:
        GanforgeError: there are none, two would become one, or there is one file for all.
    """
    from ganforge.plugins.datasets.folder import find

    if not pictures.is_dir():
        return {pictures: out if out.suffix and not out.is_dir() else out / f"{pictures.stem}.png"}
    if out.suffix and not out.is_dir():
        raise GanforgeError(f"{pictures} is a folder; give a folder for its translations, not {out}")
    targets: dict[Path, Path] = {}
    for name in find(pictures):
        target = (out / name).with_suffix(".png")
        if target in targets:
            raise GanforgeError(f"{targets[target]} and {name} in {pictures} would both become {target}; rename one")
        targets[target] = Path(name)
    return {pictures / name: target for target, name in targets.items()}


def _translated(model: Model, source: Path, target: Path, longest: int | None, *, alone: bool) -> bool:
    """Whether it could be; what is wrong with one picture of many keeps no other from being translated.

    Raises:
        GanforgeError: it cannot be read or translated, and is `alone`; the translation cannot be written.
    """
    from ganforge.plugins.datasets import decode

    try:
        with decode.explained(source):
            pixels = decode.read(source, model.image.width)
        if longest is not None and longest < max(pixels.shape[:2]):
            pixels = _shrunk(pixels, longest)
        translated = model.translate(pixels[None])[0]
    except GanforgeError as error:
        if alone:
            raise
        warn(f"warning: {error}; it is left out")
        return False
    save_picture(translated, target)
    return True


def _shrunk(pixels: np.ndarray, longest: int) -> np.ndarray:
    """uint8 [H, W, C] at the size at which the longer side is `longest`."""
    height, width, channels = pixels.shape
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(size[1], size[0], channels)
