"""Average pooling after a convolution, in place of a convolution with a stride."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class DownsamplingOptions(Options):
    """Where."""

    networks: Literal["generator", "discriminator", "both"] = Field(
        "discriminator", description="whose strided convolutions are replaced"
    )


def build(options: DownsamplingOptions) -> Any:
    from ganforge.plugins.tricks.downsampling import layers

    return layers.Downsampling(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="downsampling",
            summary="average pooling in place of strides",
            paper="1704.00028",
            options=DownsamplingOptions,
            build=build,
        )
    ]
