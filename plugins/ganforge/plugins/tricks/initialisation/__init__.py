"""Weights drawn anew: Xavier (Glorot and Bengio 2010), He (He et al. 2015, arXiv 1502.01852), orthogonal (Saxe et
al. 2013, arXiv 1312.6120) or normal.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class InitialisationOptions(Options):
    """How weights are drawn, and whose."""

    networks: Literal["generator", "discriminator", "both"] = Field(
        "both", description="whose linear, convolutional and embedding weights are drawn anew; biases stay"
    )
    kind: Literal["orthogonal", "xavier", "he", "normal"] = "orthogonal"
    gain: float = Field(1.0, gt=0, description="factor on the weights of orthogonal, xavier and he")
    std: float = Field(0.02, gt=0, description="standard deviation of normal")


def build(options: InitialisationOptions) -> Any:
    from ganforge.plugins.tricks.initialisation import weights

    return weights.Initialisation(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="initialisation",
            summary="orthogonal, Xavier, He or normal initial weights",
            paper="1312.6120",
            options=InitialisationOptions,
            build=build,
        )
    ]
