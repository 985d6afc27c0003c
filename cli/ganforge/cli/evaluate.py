"""`ganforge evaluate`: how good the samples of a run or of an exported file are, with where every figure came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli import tradeoff
from ganforge.cli.asking import (
    by_name,
    check_classes,
    chosen_metrics,
    inception_instead_of,
    split_named,
    with_options,
)
from ganforge.cli.common import print_json, print_table
from ganforge.cli.options import DataRoot, Device, Download, Features, Json, names
from ganforge.cli.subject import load_splits, open_subject
from ganforge.core.config import parse_settings
from ganforge.core.errors import GanforgeError
from ganforge.core.registry import default_registry
from ganforge.core.scoring import default_extractor

if TYPE_CHECKING:
    from ganforge.core.card import Score


def evaluate(
    source: Annotated[Path, typer.Argument(metavar="RUN_OR_FILE", help="A run directory, or an exported .onnx file.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="The real data: a set's name, or a folder of pictures.",
            show_default="what it was trained on",
            autocompletion=names("dataset"),
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Names, separated by commas.", show_default="kid (from 1,000 samples), fid and prdc; points: modes"
        ),
    ] = None,
    features: Features = None,
    samples: Annotated[int, typer.Option("--samples", "-n", min=2, help="How many are generated and judged.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Which samples, and all that metrics draw.")] = 0,
    split: Annotated[str, typer.Option(help="Real data to compare with: test or train.")] = "test",
    floor: Annotated[
        bool, typer.Option(help="Also score real data of the other split, as a perfect generator would score.")
    ] = True,
    truncation: Annotated[float | None, typer.Option(min=0.01, help="Keep latents below this.")] = None,
    truncations: Annotated[
        str | None,
        typer.Option(
            help="Score at each of these instead, as in 0.25,0.5,1,2: by default with fid and inception-score."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for the curve of --truncations, an SVG.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--inception-weights", help="Inception's weights, a file whose checksum is known."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, as in kid.subsets=50 or features.side=224."),
    ] = None,
    data_root: DataRoot = None,
    download: Download = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once: memory against speed.")] = 100,
    device: Device = "auto",
    write_card: Annotated[bool, typer.Option("--write-card", help="Add the scores to the file's card.")] = False,
    as_json: Json = False,
) -> None:
    """Score the samples of a run or a file against real ones.

    Example: ganforge evaluate model.onnx --samples 5000 --metrics kid,prdc
    """
    from ganforge.cli.watching import watching
    from ganforge.core.evaluate import evaluate as evaluate_
    from ganforge.core.evaluation import Asked, Reference
    from ganforge.core.run import resolve_device

    if write_card and source.suffix != ".onnx":
        raise GanforgeError(f"--write-card writes into an exported file, and {source} is none")
    registry = default_registry()
    options = by_name(parse_settings(settings or []))
    subject = open_subject(source, seed, truncation, device)
    thresholds = tradeoff.thresholds(truncations, truncation, out, subject.generator.latent)
    metrics = metrics or (tradeoff.METRICS if thresholds else None)
    given = {"root": data_root, "download": download or None}
    overrides = {**{k: v for k, v in given.items() if v is not None}, **options.pop("data", {})}
    reference = Reference(*load_splits(subject, data, overrides, registry), split_named(split), floor)
    options_of_features = options.pop("features", {})
    if weights is not None:
        features, options_of_features = inception_instead_of(features), {**options_of_features, "weights": str(weights)}
    asked = Asked(
        metrics=with_options(chosen_metrics(metrics, reference.data, samples, options, registry), options),
        extractor=features or default_extractor(registry),
        extractor_options=options_of_features,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
        device=str(resolve_device(device)),
    )
    check_classes(asked.metrics, subject.data, reference.data.spec, registry)
    curve: list[list[Score]] = []
    with watching(quiet=as_json) as watch:
        for one in [subject.at(threshold) for threshold in thresholds] or [subject]:
            # What real data scores is the same at every threshold.
            against, about = replace(reference, floor=floor and not curve), replace(asked, about=one.about)
            curve.append(evaluate_(one.sample, against, about, registry, watch, one.generator))
    scores = [score for scores in curve for score in scores]
    if thresholds and not as_json:
        tradeoff.show(curve)
    else:
        show(scores, as_json)
    if out is not None:
        tradeoff.write(curve, out)
    if write_card:
        from ganforge.export import write_scores

        write_scores(source, scores)


def show(scores: Sequence[Score], as_json: bool) -> None:
    """A table for people, everything for programs."""
    if as_json:
        print_json([score.model_dump() for score in scores])
        return
    told = [score.provenance for score in scores]
    with_floors = any("floor" in one for one in told)
    floors = [f"{one['floor']:.4g}" if "floor" in one else "" for one in told]
    rows = [(score.name, f"{score.value:.4g}", floor) for score, floor in zip(scores, floors, strict=True)]
    columns = 3 if with_floors else 2
    print_table(("score", "value", "real data scores")[:columns], [row[:columns] for row in rows])
    about = told[0]
    typer.echo(f"{about['samples']} samples beside {about['real']} real ones of the {about['split']} split")
    for right in {one["classifier accuracy"] for one in told if "classifier accuracy" in one}:
        typer.echo(f"the classifier is right about {right:.1%} of real pictures that it has not seen")
    for metric, what in {one["metric"]: one["compared with"] for one in told if "compared with" in one}.items():
        typer.echo(f"{metric}: compared with {what}")
