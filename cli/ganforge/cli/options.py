"""Options that several commands have in the same form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer


def names(kind: str) -> Callable[[str], list[str]]:
    """Shell completion of the names registered for a kind of spec."""

    def complete(incomplete: str) -> list[str]:
        from ganforge.core.registry import default_registry

        return [name for name in default_registry().all(kind) if name.startswith(incomplete)]

    return complete


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TrainingData = Annotated[
    str | None, typer.Option(help="A data set's name, or a folder of pictures.", autocompletion=names("dataset"))
]
DataRoot = Annotated[str | None, typer.Option(help="Folder where downloaded data sets lie.")]
Download = Annotated[bool, typer.Option("--download", help="Download the data set if it is missing.")]
Resolution = Annotated[int | None, typer.Option(help="Side of the square pictures.")]
Features = Annotated[
    str | None,
    typer.Option(
        help="What turns images into features.",
        show_default="efficientnet-lite0 where it is installed",
        autocompletion=names("extractor"),
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
OwnDevice = Annotated[str | None, typer.Option(help="auto, cpu or cuda.", show_default="auto")]
Precision = Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.")]
