"""`ganforge compare`: which GAN for this data, after the same time in training for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli.common import parse_budget, print_json, print_table
from ganforge.cli.options import (
    DataRoot,
    Download,
    Features,
    Json,
    OwnDevice,
    Precision,
    Resolution,
    TrainingData,
)
from ganforge.core.registry import default_registry

if TYPE_CHECKING:
    from ganforge.cli.compare.playing import Comparison
    from ganforge.cli.compare.writing import Written


def compare(
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ROW…", help="Recipes, each with settings after a colon: dcgan or dcgan:batch_size=32,loss=hinge"
        ),
    ] = None,
    data: TrainingData = None,
    budget: Annotated[
        str, typer.Option(help="Time in training for each: 90s, 10m, 1h; of CPU or, on a GPU, of the clock.")
    ] = "10m",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The comparison's folder; the same goes on.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each row: seeds 0, 1, …")] = 1,
    rows_file: Annotated[
        Path | None, typer.Option("--rows", help="A TOML file with a table [[row]] for each: recipe, settings, name.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of all rows; a row's own wins.")
    ] = None,
    resolution: Resolution = None,
    samples: Annotated[
        int | None,
        typer.Option(min=2, help="How many are judged.", show_default="2,000, or as many as the data has"),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Names, separated by commas.", show_default="those of `evaluate`"),
    ] = None,
    features: Features = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each.")] = 1,
    device: OwnDevice = None,
    precision: Precision = None,
    data_root: DataRoot = None,
    download: Download = False,
    keep_runs: Annotated[bool, typer.Option(help="Keep the run directories, or only scores and pictures.")] = True,
    as_json: Json = False,
) -> None:
    """Train rows for the same time, score them, and say which to take.

    The same command goes on where it was stopped, and trains only what has changed.

    Example: ganforge compare dcgan sngan sngan:batch_size=32 --data fashion-mnist --budget 10m --out comparison
    """
    from ganforge.cli.compare.asked import Machine, choose_scoring
    from ganforge.cli.compare.playing import Comparison
    from ganforge.cli.compare.rows import Common, check_all, gather
    from ganforge.cli.compare.running import check_out, run
    from ganforge.core.run import resolve_device

    flags = {
        "data": {"name": data, "resolution": resolution, "root": data_root, "download": download or None},
        "machine": {"device": device, "precision": precision, "threads": threads},
    }
    asked, seconds, folder = gather(rows or [], rows_file), parse_budget(budget), check_out(out)
    registry, common = default_registry(), Common(flags, tuple(settings or ()))
    entries = check_all(asked, common, registry)
    comparison = Comparison(
        out=folder,
        entries=entries,
        common=common,
        scoring=choose_scoring(metrics, features, samples, entries, registry),
        budget=seconds,
        seeds=seeds,
        machine=Machine(str(resolve_device(entries[0].config.machine.device)), threads, jobs),
        plugins=tuple(plugin.distribution for plugin in registry.plugins if plugin.file),
        keep_runs=keep_runs,
    )
    show(comparison, run(comparison), as_json)


def show(comparison: Comparison, written: Written, as_json: bool) -> None:
    """The table and the advice for people, everything for programs."""
    from ganforge.cli.compare import table

    if as_json:
        print_json(written.record)
        return
    standings = written.standings
    print_table(table.headings(standings, comparison), table.rows(standings, comparison))
    typer.echo(f"\n{written.advice.words}\n\nlook at  {comparison.out / 'compare.html'}")
