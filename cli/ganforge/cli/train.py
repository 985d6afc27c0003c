"""`ganforge train`: a recipe on a data set, into a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge.cli.common import print_json
from ganforge.cli.options import DataRoot, Json, OwnDevice, Precision, Resolution, TrainingData, names
from ganforge.cli.request import request
from ganforge.cli.timing import pace_of, sentence, told, within_budget

if TYPE_CHECKING:
    from ganforge.core.run import Run


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's name; see: ganforge recipes list", autocompletion=names("recipe")),
    ] = None,
    data: TrainingData = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run directory.", show_default="runs/RECIPE-DATA-XXXX"),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Rounds to play; or say it in epochs or images.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    images: Annotated[int | None, typer.Option(help="Real images to show.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Or as many rounds as fit into 90s, 10m or 1h of CPU or, on a GPU, of the clock."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch, over all processes.")] = None,
    resolution: Resolution = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows from it.")] = None,
    every: Annotated[int | None, typer.Option(help="Rounds between two sample pictures and checkpoints.")] = None,
    log_every: Annotated[int | None, typer.Option(help="Rounds between two lines of metrics.jsonl.")] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(help="Rounds between two scores; the best checkpoint is kept in RUN/best.", show_default="never"),
    ] = None,
    conditioning: Annotated[
        str | None,
        typer.Option(
            help="How labels enter both networks, as in concat or projection.", autocompletion=names("conditioning")
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Start with the networks of this run, or of a checkpoint of one."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting; see: ganforge recipes show RECIPE"),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings; flags and --set win over it.")] = None,
    data_root: DataRoot = None,
    download: Annotated[bool | None, typer.Option(help="Download the data set if it is missing.")] = None,
    device: OwnDevice = None,
    precision: Precision = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    compile: Annotated[bool | None, typer.Option(help="Compile the networks.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how long it would take, and train nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Train a recipe on a data set.

    Example: ganforge train dcgan --data digits --steps 500 --out runs/first
    """
    flags = {
        "recipe": recipe,
        "data": {"name": data, "resolution": resolution, "root": data_root, "download": download},
        "machine": {"device": device, "precision": precision, "threads": threads, "compile": compile},
        "steps": steps,
        "epochs": epochs,
        "images": images,
        "budget": budget,
        "batch_size": batch_size,
        "conditioning": conditioning,
        "start": None if start is None else str(start),
        "seed": seed,
        "every": every,
        "log_every": log_every,
        "observers": {"scores": {"every": evaluate_every}},
    }
    wanted = request(config, flags, settings or [])
    if dry_run:
        timed = pace_of(wanted)
        print_json(told(timed)) if as_json else typer.echo(sentence(timed))
        return
    if "budget" in wanted:
        wanted = within_budget(wanted, out)
    play(wanted, out, as_json=as_json)


def play(wanted: Mapping[str, Any], out: Path | None, *, as_json: bool = False) -> None:
    """Train, show how it goes, and say where everything is."""
    from ganforge.cli.progress import Progress, print_results
    from ganforge.core import distributed
    from ganforge.core import train as train_

    with Progress() as progress:
        run = train_(wanted, out, observers=[progress])
    distributed.stop()
    if progress.played:  # only in the first of several processes
        print_json(_results(run)) if as_json else print_results(run)


def _results(run: Run) -> dict[str, Any]:
    from ganforge.plugins.observers.run_files import read_best, read_verdict

    return {
        "run": run.directory,
        "rounds": run.round,
        "verdict": read_verdict(run.directory) or None,
        "best": read_best(run.directory),
    }
