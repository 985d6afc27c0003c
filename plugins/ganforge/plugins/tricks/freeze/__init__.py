"""FreezeD (Mo, Cho and Shin 2020, arXiv 2002.10964): further training with the discriminator's lower layers held.

`--from RUN` brings the networks, the regularizer `freeze` (layers.py) holds the layers.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class FreezeOptions(Options):
    """How much of the discriminator is held; the paper tries several and reports the best."""

    layers: int = Field(2, ge=1, description="convolutions and linear layers held, counted from the image")


def build(options: FreezeOptions) -> Any:
    from ganforge.plugins.tricks.freeze import layers

    return layers.Freeze(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="freeze",
            summary="the discriminator's lower layers stay those of the run it started from (--from)",
            paper="2002.10964",
            options=FreezeOptions,
            build=build,
        )
    ]
