"""Upsampling without transposed convolutions, whose kernels overlap unevenly and draw checkerboards.

Pixel shuffle (Shi et al. 2016, arXiv 1609.05158), or resizing before a convolution (Odena, Dumoulin and Olah 2016,
Deconvolution and Checkerboard Artifacts, distill.pub).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ganforge.core import Options, Regularizer, hookimpl


class UpsamplingOptions(Options):
    """How maps grow, and where."""

    networks: Literal["generator", "discriminator", "both"] = Field(
        "generator", description="whose transposed convolutions are replaced"
    )
    kind: Literal["pixel-shuffle", "nearest", "bilinear"] = Field(
        "pixel-shuffle", description="3×3 convolution to 4 times the channels, or resizing and then a 3×3 convolution"
    )
    icnr: bool = Field(
        False, description="pixel-shuffle starts as nearest-neighbour upsampling (Aitken et al., arXiv 1707.02937)"
    )

    @model_validator(mode="after")
    def _fit(self) -> UpsamplingOptions:
        if self.icnr and self.kind != "pixel-shuffle":
            raise ValueError(f"icnr is a start of kind=pixel-shuffle, not of {self.kind}")
        return self


def build(options: UpsamplingOptions) -> Any:
    from ganforge.plugins.tricks.upsampling import layers

    return layers.Upsampling(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="upsampling",
            summary="pixel shuffle or resizing in place of transposed convolutions",
            paper="1609.05158",
            options=UpsamplingOptions,
            build=build,
        )
    ]
