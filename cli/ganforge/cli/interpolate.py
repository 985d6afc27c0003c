"""`ganforge interpolate`: what lies between pictures, as a grid or as an animation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ganforge.cli.explore.places import (
    InSpace,
    Label,
    Pictures,
    Source,
    Space,
    Truncation,
    check_out,
    find,
    open_images,
)
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Generator
from ganforge.core.pictures import grid, save_animation, save_picture, to_pixels

ANIMATIONS = (".gif", ".webp", ".mp4")


def interpolate(
    source: Source,
    seeds: Annotated[str, typer.Option(help="Two pictures or more: SEED, SEED:NUMBER or a latent's .json.")],
    steps: Annotated[int, typer.Option(min=2, max=1000, help="Pictures from one to the next, both included.")] = 8,
    linear: Annotated[
        bool | None,
        typer.Option("--linear/--spherical", help="Along the line, or the arc.", show_default="as samples lie"),
    ] = None,
    label: Label = None,
    truncation: Truncation = None,
    space: Space = InSpace.z,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png (a row for each pair), .gif, .webp or .mp4.")] = Path(
        "interpolation.png"
    ),
) -> None:
    """Go from picture to picture through the latents between them.

    Pictures of two classes are joined through the classes between, which only a run directory can do.

    Example: ganforge interpolate runs/digits --seeds 1,5:3,9 --steps 8 -o path.png
    """
    check_out(out, (".png", *ANIMATIONS))
    save = writer(out)
    generator = open_images(source, truncation, space)
    latents, labels = find(generator, seeds, "--seeds", label)
    if len(latents) < 2:
        raise GanforgeError("--seeds takes at least two pictures, as in --seeds 1,5,9")
    if source.suffix == ".onnx" and labels is not None and len(set(labels.tolist())) > 1:
        raise GanforgeError("a file knows nothing between classes: choose one with --label, or give the run directory")
    pictures = to_pixels(walk(generator, (latents, labels), steps, straight=linear))
    if out.suffix.lower() in ANIMATIONS:
        # Where one pair ends the next begins.
        frames = np.delete(pictures, np.arange(steps, len(pictures), steps), axis=0)
        save([grid(frame[None]) for frame in frames], out)
    else:
        save_picture(grid(pictures, steps), out)
    typer.echo(f"{len(latents) - 1} × {steps} pictures in {out}")


def writer(out: Path) -> Callable[[Sequence[np.ndarray], Path], None]:
    """What writes an animation; for video it needs a package that a picture does not, so before any work is done."""
    if out.suffix.lower() != ".mp4":
        return save_animation
    from ganforge.cli.explore.video import save_video

    return save_video


def walk(generator: Generator, pictures: Pictures, steps: int, *, straight: bool | None = None) -> np.ndarray:
    """Float32 images [(n - 1) × steps, C, H, W]: from each picture to the next, both included.

    Where two are of different classes, the generator must be a run's.
    """
    latents, labels = pictures
    ways = [generator.latent.path(*ends, steps, straight=straight) for ends in pairwise(latents)]
    if labels is None or (labels == labels[0]).all():
        return generator.make(np.concatenate(ways), None if labels is None else labels[:1].repeat(len(ways) * steps))
    return np.concatenate([_across(generator, *one) for one in zip(ways, labels[:-1], labels[1:], strict=True)])


def _across(generator: Generator, way: np.ndarray, first: int, last: int) -> np.ndarray:
    """Images along latents [steps, width], while one class becomes the other."""
    from ganforge.cli.explore.classes import Between

    images = []
    for latent, share in zip(way, np.linspace(0, 1, len(way)), strict=True):
        with Between(int(last), float(share)):
            images.append(generator.make(latent[None], np.array([first], np.int64)))
    return np.concatenate(images)
