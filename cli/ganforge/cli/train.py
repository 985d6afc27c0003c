"""`ganforge train`: a recipe on a data set, into a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ganforge.cli.common import names
from ganforge.core.config import LENGTHS, merge, parse_settings, read_toml


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's name; see: ganforge recipes list", autocompletion=names("recipe")),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="A data set's name, or a folder of pictures.", autocompletion=names("dataset")),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run directory.", show_default="runs/RECIPE-DATA-XXXX"),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Rounds to play; or say it in epochs or images.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    images: Annotated[int | None, typer.Option(help="Real images to show.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch, over all processes.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of the square pictures.")] = None,
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
    data_root: Annotated[str | None, typer.Option(help="Folder where downloaded data sets lie.")] = None,
    download: Annotated[bool | None, typer.Option(help="Download the data set if it is missing.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    compile: Annotated[bool | None, typer.Option(help="Compile the networks.")] = None,
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
        "batch_size": batch_size,
        "conditioning": conditioning,
        "start": None if start is None else str(start),
        "seed": seed,
        "every": every,
        "log_every": log_every,
        "observers": {"scores": {"every": evaluate_every}},
    }
    play(request(config, flags, settings or []), out)


def request(config: Path | None, flags: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """What is asked for: the file's settings, the flags on them, `--set` on both."""
    layers = [read_toml(config) if config else {}, _given(flags), parse_settings(settings)]
    result: dict[str, Any] = {}
    for layer in layers:
        result = merge(_without_length(result) if _lengths(layer) else result, layer)
    return result


def play(wanted: Mapping[str, Any], out: Path | None) -> None:
    """Train, show how it goes, and say where everything is."""
    from ganforge.cli.progress import Progress, print_results
    from ganforge.core import distributed
    from ganforge.core import train as train_

    with Progress() as progress:
        run = train_(wanted, out, observers=[progress])
    distributed.stop()
    if progress.played:  # only in the first of several processes
        print_results(run)


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given: None and what is left empty falls away."""
    nested = {key: _given(value) if isinstance(value, Mapping) else value for key, value in flags.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}


def _lengths(layer: Mapping[str, Any]) -> set[str]:
    return {"steps", *LENGTHS} & layer.keys()


def _without_length(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A length replaces one said in another way in a layer below; core refuses two in one layer."""
    return {key: value for key, value in layer.items() if key not in _lengths(layer)}
