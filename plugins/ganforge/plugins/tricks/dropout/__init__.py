"""Dropout of hidden units (Hinton et al. 2012, arXiv 1207.0580) in networks that were built without it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class DropoutOptions(Options):
    """How much is dropped, and where."""

    rate: float = Field(0.5, ge=0, lt=1, description="probability of a hidden unit to be dropped")
    networks: Literal["discriminator", "generator", "both"] = "discriminator"


def build(options: DropoutOptions) -> Any:
    from ganforge.plugins.tricks.dropout import layers

    return layers.Dropout(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="dropout",
            summary="hidden units of the discriminator are dropped at random",
            paper="1207.0580",
            options=DropoutOptions,
            build=build,
        )
    ]
