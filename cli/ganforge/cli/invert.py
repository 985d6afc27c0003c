"""`ganforge invert`: the latent of a picture, for `interpolate`, `arithmetic` and `directions` to begin with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ganforge.cli.common import open_run, print_json
from ganforge.cli.explore.places import InSpace, Label, Space, check_label, check_out
from ganforge.cli.options import Device, Json, names
from ganforge.cli.watching import watching
from ganforge.core.data import DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.files import write_text
from ganforge.core.pictures import from_pixels, grid, save_picture, to_pixels

if TYPE_CHECKING:
    from ganforge.cli.explore.inversion import Search
    from ganforge.core.evaluation import Extractor, Watch
    from ganforge.core.run import Run


def invert(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory: the search needs gradients.")],
    image: Annotated[Path, typer.Argument(help="A picture of the size the generator makes.")],
    restarts: Annotated[int, typer.Option(min=1, max=256, help="Latents to begin with; the best one counts.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Of gradient descent.")] = 500,
    rate: Annotated[float, typer.Option(min=1e-6, help="Its learning rate at the start.")] = 0.05,
    features: Annotated[
        str | None,
        typer.Option(
            help="An extractor whose features are compared beside pixels.",
            show_default="none",
            autocompletion=names("extractor"),
        ),
    ] = None,
    perceptual: Annotated[float, typer.Option(min=0, help="How much they count.")] = 0.1,
    prior: Annotated[float, typer.Option(min=0, help="How much the likelihood of z counts; w has none.")] = 1e-3,
    crop: Annotated[bool, typer.Option("--crop", help="Crop and resize the picture as a data set's.")] = False,
    space: Space = InSpace.z,
    label: Label = None,
    seed: Annotated[int, typer.Option(help="Of the latents it begins with.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png; the latent goes beside it, as .json.")] = Path(
        "inverted.png"
    ),
) -> None:
    """Find the latent from which a generator makes a picture.

    Writes the original beside the reconstruction, and the latent with the error figures as .json, which other commands
    take where they take a seed (a w with --space w). The search begins with what the run's encoder says, where it has
    one, or with the mean of w, and with samples. Without --label, beginnings take every class in turn.

    Example: ganforge invert runs/digits seven.png --restarts 16 -o seven-found.png
    """
    check_out(out)
    if source.suffix == ".onnx":
        raise GanforgeError("a file has no gradients to search by; give the run directory it came from")
    run = open_run(source, device)
    if run.data.kind != "images":
        raise GanforgeError(f"{source} makes points, and this takes pictures")
    check_label(run.game.averaged_generator, label)
    if space is InSpace.w and label is not None:
        raise GanforgeError("labels enter before w; leave --label out, or --space")
    pixels = read(image, run.data, crop)
    extractor = None if features is None else extractor_of(run, features)
    from ganforge.cli.explore.inversion import Search

    search = Search(steps, rate, perceptual, prior, seed)
    with watching(quiet=as_json) as watch:
        latent, made = found(run, pixels, space, restarts, search, label, extractor, watch)
    figures, name, start = errors(pixels, made), latent["label"], latent["start"]
    save_picture(grid(np.stack([pixels, made]), 2), out)
    kept = {**latent, "image": str(image), **figures}
    write_text(out.with_suffix(".json"), json.dumps(kept, indent=2) + "\n")
    if as_json:
        print_json({"picture": out, "latent": out.with_suffix(".json"), "label": name, "start": start, **figures})
    else:
        of_class = "" if name is None else f" of class {name}"
        typer.echo(
            f"a latent{of_class}, {figures['psnr']:.1f} dB from the picture, in {out.with_suffix('.json')}; see {out}"
        )


def read(image: Path, data: DataSpec, crop: bool) -> np.ndarray:
    """A picture as the generator would make it: uint8 [H, W, C].

    Raises:
        GanforgeError: not a picture, or of another size and not to be cropped.
    """
    from PIL import Image

    from ganforge.plugins.datasets import decode

    channels, height, width = data.shape
    if problem := decode.check(image):
        raise GanforgeError(f"cannot read picture {image}: {problem}")
    with Image.open(image) as opened:
        size = opened.size
    if size != (width, height) and not crop:
        raise GanforgeError(
            f"{image} is {size[1]}×{size[0]}, and the generator makes {data}; --crop crops and resizes it"
        )
    with decode.explained(image):
        return decode.decode(image, height, channels).transpose(1, 2, 0)


def extractor_of(run: Run, features: str) -> Extractor:
    """The extractor asked for, where features of it can be followed by gradients."""
    import torch

    from ganforge.core.config import load_data
    from ganforge.core.evaluation import Asked
    from ganforge.core.seer import Seer

    asked = Asked(metrics={}, extractor=features, device=str(run.game.device))
    extractor = Seer(load_data(run.config.data, run.registry), asked, run.registry).extractor
    try:
        extractor.embed(torch.zeros(1, *run.data.shape, device=run.game.device))
    except NotImplementedError:
        raise GanforgeError(
            f"features of '{features}' cannot be followed by gradients; choose other --features"
        ) from None
    return extractor


def found(
    run: Run,
    pixels: np.ndarray,
    space: InSpace,
    restarts: int,
    search: Search,
    label: str | None,
    extractor: Extractor | None,
    watch: Watch,
) -> tuple[dict[str, Any], np.ndarray]:
    """The best latent, its class's name where there are classes, and how it began, as the .json says it; and its
    picture, uint8 [H, W, C]."""
    import torch

    from ganforge.cli.explore.beginnings import in_w, in_z
    from ganforge.cli.explore.inversion import invert

    picture = torch.from_numpy(from_pixels(pixels[None])[0]).to(run.game.device)
    if space is InSpace.w:
        known, begun = "mean", in_w(run.game, restarts, search.seed)
        search = replace(search, prior=0.0)
    else:
        known, begun = "encoder", in_z(run.game, picture, restarts, search.seed, label)
    done = invert(begun.network, begun.latent, picture, begun.begin, search, extractor, watch)
    name = None if begun.labels is None else run.data.classes[int(begun.labels[done.best])]
    start = known if done.best < begun.known else "sample"
    kept = {space.value: done.latents[done.best].tolist(), "label": name, "start": start}
    return kept, to_pixels(done.images[done.best][None].numpy())[0]


def errors(picture: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Root mean squared error in grey levels of 0 to 255, and the peak signal-to-noise ratio in dB, 99 at most."""
    l2 = float(np.sqrt(np.mean((picture.astype(float) - made) ** 2)))
    return {"l2": l2, "psnr": min(99.0, 20 * float(np.log10(255 / max(l2, 1e-9))))}
