"""Adaptive discriminator augmentation (ADA; Karras et al. 2020, arXiv 2006.06676), for little data.

All the discriminator sees is augmented, real and fake, each operation with probability p; p follows how sure the
discriminator is of the training images. The operations are those of the paper's best set: pixel blitting, geometry
and colour (appendix B). Deviation: images are resampled bilinearly at their own resolution, without the wavelet
filters and the twice as fine grid in between, which cost more than the networks of small images. With `accumulate`, r_t
is of a move's last piece.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class AdaOptions(Options):
    """How p moves, and which operations there are."""

    target: float = Field(0.6, ge=-1, le=1, description="of r_t, the mean sign of D on reals, which p holds there")
    images: int = Field(500_000, ge=1, description="real images in which p can rise from 0 to 1")
    interval: int = Field(4, ge=1, description="moves of the discriminator between two adjustments of p")
    p: float = Field(0.0, ge=0, le=1, description="probability to start from")
    blit: bool = Field(True, description="mirroring, quarter turns and shifts by whole pixels")
    geometry: bool = Field(True, description="scaling, rotation, stretching and shifts by fractions")
    colour: bool = Field(True, description="brightness, contrast, luma flip, hue and saturation")


def build(options: AdaOptions) -> Any:
    from ganforge.plugins.tricks.ada import effect

    return effect.Ada(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="ada",
            summary="augmentation as strong as the discriminator overfits",
            paper="2006.06676",
            options=AdaOptions,
            build=build,
        )
    ]
