"""Another activation in the hidden layers, as LeakyReLU in the generator in place of ReLU."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class ActivationOptions(Options):
    """Which activation, and where."""

    networks: Literal["generator", "discriminator", "both"] = Field(
        "generator", description="whose hidden activations are replaced; tanh and sigmoid stay"
    )
    kind: Literal["leaky-relu", "relu", "elu", "silu"] = "leaky-relu"
    slope: float = Field(0.2, ge=0, le=1, description="of leaky-relu below zero")


def build(options: ActivationOptions) -> Any:
    from ganforge.plugins.tricks.activation import replacement

    return replacement.Activation(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="activation",
            summary="another activation, as LeakyReLU in the generator",
            paper="Maas, Hannun and Ng 2013, Rectifier nonlinearities improve neural network acoustic models",
            options=ActivationOptions,
            build=build,
        )
    ]
