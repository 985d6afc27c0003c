"""`ganforge neighbours`: the training pictures nearest to samples. Does the generator remember them?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ganforge.cli.common import print_json, print_table, warn
from ganforge.cli.explore.places import Source, Truncation, check_out
from ganforge.cli.options import DataRoot, Device, Json, names
from ganforge.cli.subject import load_splits, open_subject
from ganforge.cli.watching import watching
from ganforge.core.data import Data
from ganforge.core.errors import GanforgeError
from ganforge.core.pictures import beside, grid, save_picture
from ganforge.core.registry import default_registry
from ganforge.core.scoring import default_extractor

if TYPE_CHECKING:
    from ganforge.cli.explore.nearest import Nearness

BATCH = 100
PIXELS_ONLY = "none"


def neighbours(
    source: Source,
    data: Annotated[
        str | None,
        typer.Option(
            help="The data: a set's name, or a folder of pictures.",
            show_default="what it was trained on",
            autocompletion=names("dataset"),
        ),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", min=2, help="How many are compared.")] = 200,
    held_out: Annotated[int, typer.Option(min=20, help="Pictures of the test split beside them, at most.")] = 500,
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="Nearest pictures that are shown.")] = 5,
    show: Annotated[int, typer.Option(min=1, max=100, help="Samples that are shown: the nearest ones.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Which samples, and which held-out pictures.")] = 0,
    features: Annotated[
        str | None,
        typer.Option(
            help="What turns pictures into features; none: pixels only.",
            show_default="efficientnet-lite0 where it is installed",
            autocompletion=names("extractor"),
        ),
    ] = None,
    truncation: Truncation = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    as_json: Json = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png.")] = Path("neighbours.png"),
) -> None:
    """Find the training pictures nearest to samples, in pixels and in features.

    Each row of the picture is a sample and its nearest training pictures, on the left in pixels and on the right in
    features; the samples nearest to any come first. The figures say how near samples are beside how near held-out
    pictures are. 'close' is the share of samples nearer than the nearest twentieth of those: far above 0.05, the
    generator remembers.

    Example: ganforge neighbours runs/digits --samples 500 -o neighbours.png
    """
    check_out(out)
    from ganforge.cli.explore.nearest import in_features, in_pixels
    from ganforge.core.draw import hash64
    from ganforge.core.evaluation import Asked
    from ganforge.core.run import resolve_device
    from ganforge.core.seer import Seer

    registry = default_registry()
    subject = open_subject(source, seed, truncation, device)
    if subject.data.kind != "images":
        raise GanforgeError(f"{source} makes points, and this compares pictures")
    training, test = load_splits(subject, data, {} if data_root is None else {"root": data_root}, registry)
    features = features or default_extractor(registry)
    if features is None:
        warn("warning: pixels only, since no extractor is installed: pip install 'ganforge[evaluate]'")
    seer = None
    if features not in (None, PIXELS_ONLY):
        asked = Asked(metrics={}, extractor=features, device=str(resolve_device(device)))
        seer = Seer(training, asked, registry)
    rows = np.random.default_rng(hash64(seed, "held out")).permutation(len(test))[:held_out]
    made = np.concatenate([subject.sample(at, min(BATCH, samples - at))[0] for at in range(0, samples, BATCH)])
    with watching(quiet=as_json) as watch:
        found = [in_pixels(made, test.fetch(rows)[0], training, k, watch)]
        if seer is not None:
            found.append(in_features(made, rows, test, training, k, seer, BATCH, watch))
    order = found[-1].nearest.argsort().tolist()[:show]
    save_picture(beside([picture(made, training, one, order) for one in found]), out)
    tell(found, order, len(training), out, as_json)


def picture(made: np.ndarray, training: Data, nearness: Nearness, order: Sequence[int]) -> np.ndarray:
    """A row for each sample in `order`: itself, uint8 [C, H, W], and its nearest training pictures."""
    numbers = nearness.samples.numbers[order].numpy()
    near = training.fetch(numbers.ravel())[0].reshape(*numbers.shape, *made.shape[1:])
    rows = np.concatenate([made[order][:, None], near], axis=1)
    return grid(rows.reshape(-1, *made.shape[1:]).transpose(0, 2, 3, 1), rows.shape[1])


def tell(found: Sequence[Nearness], order: Sequence[int], training: int, out: Path, as_json: bool) -> None:
    """The figures of each space; for programs also which training pictures are shown."""
    figures = [one.figures() for one in found]
    if as_json:
        shown = [{"sample": row, **{one.space: one.samples.numbers[row].tolist() for one in found}} for row in order]
        print_json({"figures": figures, "training": training, "shown": shown, "picture": out})
        return
    rows = [[f"{one:.4g}" if isinstance(one, float) else one for one in row.values()] for row in figures]
    print_table(("nearest in", "samples", "held-out", "close", "identical"), rows)
    typer.echo(f"median distances from {training} training pictures; 'close' is 0.05 for held-out pictures; see {out}")
