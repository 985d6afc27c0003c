"""`ganforge anomalies`: the score of each picture in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.core import GanforgeError
from ganforge.core.files import write_text
from ganforge.plugins.datasets import decode

if TYPE_CHECKING:
    import numpy as np

    from ganforge.core import Run

BATCH = 64


def anomalies(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A finished run of recipe f-anogan.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The pictures; a damaged one is an error.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A .csv to write instead of printing.")] = None,
) -> None:
    """How anomalous each picture of a folder is, the most anomalous first: score, file.

    Example: ganforge anomalies runs/f-anogan pictures/ -o scores.csv
    """
    from ganforge.core import Run
    from ganforge.plugins.datasets.folder import find

    names = find(folder)
    found = score(Run.load(directory, device="auto"), [folder / name for name in names])
    ranked = sorted(zip(found, names, strict=True), reverse=True)
    lines = "".join(f"{value:.6f},{name}\n" for value, name in ranked)
    if out is None:
        typer.echo(lines, nl=False)
    else:
        write_text(out, f"score,file\n{lines}")
        typer.echo(f"scores of {len(names)} pictures in {out}")


def score(run: Run, files: list[Path]) -> list[float]:
    """A(x) of each picture file, decoded as the run's data is.

    Raises:
        GanforgeError: the run is of another recipe or has networks that take labels, or a file cannot be read.
    """
    import numpy as np
    import torch

    from ganforge.core.config import UNCONDITIONED
    from ganforge.plugins.papers.f_anogan.game import FAnoganGame

    if not isinstance(run.game, FAnoganGame):
        raise GanforgeError(f"{run.directory} has nothing to score with; train one: ganforge train f-anogan --data …")
    if {run.config.generator.conditioning.name, run.config.discriminator.conditioning.name} != {UNCONDITIONED}:
        raise GanforgeError(f"{run.directory} was trained with labels, and a folder's pictures have none")
    channels, side, _ = run.data.shape
    scores: list[float] = []
    for start in range(0, len(files), BATCH):
        pixels = np.stack([_decoded(file, side, channels) for file in files[start : start + BATCH]])
        x = torch.from_numpy(pixels).to(run.game.device).float().div(127.5).sub(1)
        scores += run.game.anomaly_scores(x).tolist()
    return scores


def _decoded(file: Path, side: int, channels: int) -> np.ndarray:
    with decode.explained(file):
        return decode.decode(file, side, channels)
