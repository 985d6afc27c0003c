"""`ganforge export`: a run's generator as one ONNX file that runs anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli.common import open_run


def export(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run that `ganforge train` made.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("model.onnx"),
) -> None:
    """Write a run's generator as one ONNX file.

    The file is proved to give what the run gives before it is written.
    """
    from ganforge.export import export as export_

    card = export_(open_run(directory), out)
    typer.echo(f"{out}: {card.recipe} for {card.data}, {out.stat().st_size / 1e6:.1f} MB")
    if proof := card.parity:
        batches = ", ".join(map(str, proof.batches))
        typer.echo(
            f"proved: onnxruntime {proof.onnxruntime} gives what torch {proof.torch} gives, "
            f"in batches of {batches}; largest difference {proof.max_difference:.1e}"
        )
    typer.echo(f"sample   ganforge sample {out} --n 64 --seed 1 -o grid.png")
