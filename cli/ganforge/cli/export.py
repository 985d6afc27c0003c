"""`ganforge export`: a run's generator as one ONNX file that runs anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli.common import open_run, print_json
from ganforge.cli.cost import costing
from ganforge.cli.options import Json
from ganforge.core.errors import GanforgeError

if TYPE_CHECKING:
    from ganforge.core import Run
    from ganforge.core.card import Card, Parity


def export(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run that `ganforge train` made.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("model.onnx"),
    inputs: Annotated[
        str, typer.Option(help="z: the caller draws latents; seed: the file makes them, of a seed for each picture.")
    ] = "z",
    pixels: Annotated[
        str, typer.Option(help="float32: [N, C, H, W] from -1 to 1; uint8: [N, H, W, C], a quarter of the bytes.")
    ] = "float32",
    precision: Annotated[
        str, typer.Option(help="fp32; fp16: half the size, for GPUs; int8: a quarter, faster on CPUs.")
    ] = "fp32",
    force: Annotated[
        bool, typer.Option("--force", help="Write fp16 or int8 even where it is too far from fp32.")
    ] = False,
    score: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Score N samples of fp16 or int8 beside fp32's, for the file's card."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="Which one, of a game that has several; by default each in a file of its own, OUT-NETWORK."),
    ] = None,
    triton: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also make a Triton model repository, the model named as --out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run's generator as one ONNX file.

    The file is proved to give what the run gives before it is written.

    Example: ganforge export runs/digits -o digits.onnx --inputs seed --pixels uint8
    """
    from ganforge.export import check_repository, write_repository
    from ganforge.export import export as export_

    run, judge = open_run(directory), None
    files = _files(run, out, network)
    if triton is not None:
        for file in files.values():
            check_repository(triton, file.stem)
    if score is not None:
        if precision == "fp32":
            raise GanforgeError("--score says what fp16 or int8 costs; score an fp32 file with ganforge evaluate")
        judge = costing(directory, score, quiet=as_json)
    form = {"inputs": inputs, "pixels": pixels, "precision": precision}
    cards = {name: export_(run, file, network=name, **form, force=force, judge=judge) for name, file in files.items()}
    if triton is not None:
        for file in files.values():
            write_repository(file, triton)
    if as_json:
        dumped = [card.model_dump(mode="json") for card in cards.values()]
        print_json(dumped[0] if len(dumped) == 1 else dumped)
        return
    for name, card in cards.items():
        _tell(card, files[name], triton)


def _files(run: Run, out: Path, network: str | None) -> dict[str, Path]:
    """Where each network goes: the one there is or that is asked for to OUT, several beside each other."""
    from ganforge.export.exporter import offered

    names = [network] if network else list(offered(run))
    return {name: out if len(names) == 1 else out.with_stem(f"{out.stem}-{name}") for name in names}


def _tell(card: Card, out: Path, triton: Path | None) -> None:
    typer.echo(f"{out}: {card.recipe} for {card.data}, {out.stat().st_size / 1e6:.1f} MB")
    if card.parity:
        typer.echo(_proof(card.parity, card.precision))
    for score in card.scores:
        typer.echo(f"{score.name} is {score.value:.4g}, in fp32 {score.provenance['fp32']:.4g}")
    if triton is not None:
        typer.echo(f"triton   tritonserver --model-repository {triton}")
    if card.image is None:
        typer.echo(f"sample   ganforge sample {out} --n 64 --seed 1 -o grid.png")
    else:
        typer.echo(f"use      ganforge translate {out} PICTURES OUT")


def _proof(proof: Parity, precision: str) -> str:
    """How near the file is to the network; where precision was given up, the mean says more than the largest."""
    batches = ", ".join(map(str, proof.batches))
    if proof.sides:
        batches += f" and sizes of {', '.join(f'{height}×{width}' for height, width in proof.sides)}"
    if precision == "fp32":
        return (
            f"proved: onnxruntime {proof.onnxruntime} gives what torch {proof.torch} gives, "
            f"in batches of {batches}; largest difference {proof.max_difference:.1e}"
        )
    return (
        f"{precision}: onnxruntime {proof.onnxruntime} is {proof.mean_difference:.1e} from torch {proof.torch} in fp32 "
        f"on average ({proof.tolerance:.1e} allowed), in batches of {batches}; "
        f"largest difference {proof.max_difference:.1e}"
    )
