"""`ganforge resume`: go on with a run from its last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def resume(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run that `ganforge train` made.")],
    steps: Annotated[int | None, typer.Option(help="The new total of rounds.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda, in place of the run's own.")] = None,
) -> None:
    """Go on with a run from its last checkpoint.

    It ends with the weights of a run that never stopped; before the first checkpoint it starts again.
    """
    from ganforge.cli.progress import Progress, print_results
    from ganforge.core import distributed
    from ganforge.core import resume as resume_

    with Progress() as progress:
        run = resume_(directory, steps=steps, device=device, observers=[progress])
    distributed.stop()
    if progress.played:
        print_results(run)
    elif progress.first_process:
        typer.echo(f"{directory} is finished: {run.round} rounds; go further with a larger --steps")
