"""`ganforge evaluate`: how good the samples of a run or of an exported file are, with where every figure came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ganforge.cli.common import Json, names, print_json, print_table
from ganforge.cli.subject import load_splits, open_subject
from ganforge.core.config import parse_settings
from ganforge.core.data import Data, DataSpec, Split
from ganforge.core.errors import GanforgeError, unknown
from ganforge.core.registry import Registry, default_registry

if TYPE_CHECKING:
    from ganforge.core.card import Score

USUAL = {"images": ("kid", "fid", "prdc"), "points": ("modes",)}
"""Metrics where nobody names any."""

SUBSET = 1000
"""Samples without which the usual `kid` has no subsets."""


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
    features: Annotated[
        str | None,
        typer.Option(
            help="What turns images into features.",
            show_default="efficientnet-lite0 where it is installed",
            autocompletion=names("extractor"),
        ),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", min=2, help="How many are generated and judged.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Which samples, and all that metrics draw.")] = 0,
    split: Annotated[str, typer.Option(help="Real data to compare with: test or train.")] = "test",
    floor: Annotated[
        bool, typer.Option(help="Also score real data of the other split, as a perfect generator would score.")
    ] = True,
    truncation: Annotated[float | None, typer.Option(min=0.01, help="Keep latents below this.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--inception-weights", help="Inception's weights, a file whose checksum is known."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, as in kid.subsets=50 or features.side=224."),
    ] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder where downloaded data sets lie.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Download the data set if it is missing.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once: memory against speed.")] = 100,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    write_card: Annotated[bool, typer.Option("--write-card", help="Add the scores to the file's card.")] = False,
    as_json: Json = False,
) -> None:
    """Score the samples of a run or a file against real ones.

    Example: ganforge evaluate model.onnx --samples 5000 --metrics kid,prdc
    """
    from ganforge.cli.watching import watching
    from ganforge.core.evaluate import Asked, Reference, default_extractor
    from ganforge.core.evaluate import evaluate as evaluate_
    from ganforge.core.run import resolve_device

    if write_card and source.suffix != ".onnx":
        raise GanforgeError(f"--write-card writes into an exported file, and {source} is none")
    registry = default_registry()
    options = _by_name(parse_settings(settings or []))
    subject = open_subject(source, seed, truncation, device)
    given = {"root": data_root, "download": download or None}
    overrides = {**{k: v for k, v in given.items() if v is not None}, **options.pop("data", {})}
    reference = Reference(*load_splits(subject, data, overrides, registry), _split(split), floor)
    options_of_features = options.pop("features", {})
    if weights is not None:
        features, options_of_features = _inception(features), {**options_of_features, "weights": str(weights)}
    asked = Asked(
        metrics=_with_options(_chosen(metrics, reference.data, samples, options, registry), options),
        extractor=features or default_extractor(registry),
        extractor_options=options_of_features,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
        device=str(resolve_device(device)),
        about=subject.about,
    )
    _check_classes(asked.metrics, subject.data, reference.data.spec, registry)
    with watching(quiet=as_json) as watch:
        scores = evaluate_(subject.sample, reference, asked, registry, watch, subject.generator)
    show(scores, as_json)
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


def _split(name: str) -> Split:
    if name not in get_args(Split):
        raise GanforgeError(f"--split takes {' or '.join(get_args(Split))}, not '{name}'")
    return cast(Split, name)


def _by_name(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    for name, values in settings.items():
        if not isinstance(values, Mapping):
            raise GanforgeError(f"--set {name}={values}: takes settings by name, as in {name}.KEY=VALUE")
    return {name: dict(values) for name, values in settings.items()}


def _inception(features: str | None) -> str:
    if features not in (None, "inception"):
        raise GanforgeError(f"--inception-weights goes with --features inception, not {features}")
    return "inception"


def _chosen(metrics: str | None, real: Data, samples: int, options: Mapping[str, Any], registry: Registry) -> list[str]:
    """The metrics asked for, or the usual ones for such data and so many samples."""
    if metrics is None:
        few = min(samples, len(real)) < SUBSET
        return [name for name in USUAL[real.spec.kind] if name in options or not (few and name == "kid")]
    chosen = [name.strip() for name in metrics.split(",") if name.strip()]
    for name in chosen:
        registry.find("metric", name)
    return chosen


def _check_classes(metrics: Iterable[str], made: DataSpec, real: DataSpec, registry: Registry) -> None:
    """A label must mean the same to the generator and to the data."""
    wanting = [name for name in metrics if "labels" in registry.find("metric", name).needs]
    if wanting and made.classes != real.classes:
        differing = next(
            pair for pair in zip_longest(made.classes, real.classes, fillvalue="none") if pair[0] != pair[1]
        )
        raise GanforgeError(
            f"metric '{wanting[0]}' compares classes, and the generator's are not the data's: "
            f"'{differing[0]}' where the data has '{differing[1]}'"
        )


def _with_options(metrics: Sequence[str], options: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Each metric with what `--set` says of it."""
    if stray := sorted(options.keys() - set(metrics)):
        raise unknown("setting", stray[0], [*metrics, "features"], "--set")
    return {name: options.get(name, {}) for name in metrics}
