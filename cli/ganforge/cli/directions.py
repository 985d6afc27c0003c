"""`ganforge directions`: which way to move a latent so that the picture changes most."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from ganforge.cli.common import open_run, print_json, warn
from ganforge.cli.explore.places import InSpace, Label, Source, Space, Truncation, check_out, find, open_images
from ganforge.cli.options import Json
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Generator
from ganforge.core.pictures import grid, save_picture, to_pixels


class Method(StrEnum):
    sefa = "sefa"
    pca = "pca"


class Found(NamedTuple):
    """Directions over z or w, float32 [k, dim], strongest first, and what is known of each."""

    vectors: np.ndarray
    known: dict[str, Any]


def directions(
    source: Source,
    k: Annotated[int, typer.Option("-k", min=1, help="How many, strongest first.")] = 5,
    method: Annotated[
        Method, typer.Option(help="sefa: of the first layer's weights; pca: of a layer's activations (a run's only).")
    ] = Method.sefa,
    layer: Annotated[
        str | None, typer.Option(help="Whose activations (pca).", show_default="the first that follows z")
    ] = None,
    samples: Annotated[int, typer.Option(min=16, help="Latents whose activations are taken (pca).")] = 4096,
    picture: Annotated[str, typer.Option(help="What to move: SEED, SEED:NUMBER or a latent's .json.")] = "0",
    reach: Annotated[float, typer.Option(min=0.01, help="How far to go, either way.")] = 3.0,
    steps: Annotated[int, typer.Option(min=2, max=100, help="Pictures in a row.")] = 7,
    label: Label = None,
    truncation: Truncation = None,
    space: Space = InSpace.z,
    as_json: Json = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png: a row for each direction.")] = Path(
        "directions.png"
    ),
) -> None:
    """Find directions of the latent and show where they lead.

    `sefa` is Shen and Zhou's closed form (arXiv 2007.06600), which a file has on its card; `pca` is GANSpace
    (arXiv 2004.02546), which looks inside the network; with --space w it is of w, and moves w.

    Example: ganforge directions digits.onnx -k 5 --picture 1:7 -o directions.png
    """
    check_out(out)
    generator = open_images(source, truncation, space)
    latents, labels = find(generator, picture, "--picture", label)
    if len(latents) > 1:
        raise GanforgeError("--picture takes one picture, as in --picture 1:7")
    if method is Method.sefa and layer is not None:
        raise GanforgeError("--layer goes with --method pca; sefa is of the first layer")
    if space is InSpace.w and (method is Method.sefa or layer is not None):
        raise GanforgeError("--space w goes with --method pca, whose components are then of w itself, not of a --layer")
    if method is Method.sefa:
        found = of_weights(source)
    elif space is InSpace.w:
        found = of_styles(generator, k, samples)
    else:
        found = of_activations(source, generator, layer, k, samples)
    vectors = found.vectors[:k]
    if len(vectors) < k:
        warn(f"{source} tells of {len(vectors)} directions, not of {k}")
    moved = sweep(generator, latents[0], vectors, np.linspace(-reach, reach, steps))
    pixels = to_pixels(generator.make(moved, None if labels is None else labels.repeat(len(moved))))
    save_picture(grid(pixels, steps), out)
    if as_json:
        known = {name: values[:k] if isinstance(values, list) else values for name, values in found.known.items()}
        print_json({"method": method, **known, "directions": vectors.tolist(), "picture": out})
    else:
        typer.echo(f"{len(vectors)} directions, from {-reach:g} to {reach:g}, in {out}")


def sweep(generator: Generator, latent: np.ndarray, vectors: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """A latent [width] moved along each of vectors [k, dim] by each distance [n]: float32 [k × n, width]."""
    moved = np.tile(latent, (len(vectors), len(distances), 1))
    moved[:, :, : generator.latent.dim] += vectors[:, None] * distances[None, :, None]
    return generator.latent.projected(moved.reshape(-1, len(latent))).astype(np.float32)


def of_weights(source: Path) -> Found:
    """SeFa's, from a file's card or of a run's network.

    Raises:
        GanforgeError: the first layer is no affine function of z, or there is none.
    """
    if source.suffix == ".onnx":
        from ganforge.serve import load

        model = load(source)
        if model.card.image is not None:
            raise GanforgeError(f"{source} translates pictures and makes none of latents: it has no directions")
        found, remedy = model.card.directions, "take its run directory and --method pca"
    else:
        from ganforge.export.directions import directions as sefa
        from ganforge.export.graph import freeze

        game = open_run(source).game
        found = sefa(freeze(game.ema["generator"]), game.latent, labelled=game.labelled)
        remedy = "take --method pca"
    if not found:
        raise GanforgeError(f"no layer of {source} is a plain function of z: {remedy}")
    return Found(np.asarray(found, np.float32), {})


def of_activations(source: Path, generator: Generator, layer: str | None, k: int, samples: int) -> Found:
    """GANSpace's, of a run's network.

    Raises:
        GanforgeError: a file, an unknown layer, or none that follows z.
    """
    if source.suffix == ".onnx":
        raise GanforgeError("--method pca looks inside the network; give it the run directory, not a file")
    from ganforge.cli.explore.components import layer_of, principal
    from ganforge.export.directions import first_layer
    from ganforge.export.graph import freeze

    game = open_run(source).game
    if layer is None:
        first = first_layer(freeze(game.ema["generator"]), game.latent, labelled=game.labelled)
        if first is None:
            raise GanforgeError(f"no layer of {source} follows z; name one with --layer")
        layer = first.name
    asked = game.averaged_generator.at(generator.truncation)
    found = principal(asked, layer_of(game.ema["generator"], layer), min(k, game.latent.dim), samples, seed=0)
    return Found(found.directions.numpy(), {"layer": layer, "shares": found.shares.tolist()})


def of_styles(generator: Generator, k: int, samples: int) -> Found:
    """GANSpace's for style-based generators: principal components of w (section 3.1)."""
    import torch

    from ganforge.cli.explore.components import main_axes

    w, _ = generator.draw(0, samples)
    axes = main_axes(torch.from_numpy(w), min(k, generator.latent.dim))
    return Found(axes.directions.numpy(), {"space": "w", "shares": axes.shares.tolist()})
