"""Differentiable augmentation (Zhao et al. 2020, arXiv 2006.10738) of all that the discriminator sees."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class DiffAugmentOptions(Options):
    """The policy: colour + translation + cutout is the paper's strongest, for little data (section 3.2)."""

    colour: bool = Field(True, description="random brightness, saturation and contrast")
    translation: float = Field(0.125, ge=0, le=1, description="farthest shift, as a share of the side; 0 is none")
    cutout: float = Field(0.5, ge=0, le=1, description="side of the square cut out, as a share; 0 is none")


def build(options: DiffAugmentOptions) -> Any:
    from ganforge.plugins.tricks.diffaugment import policies

    return policies.DiffAugment(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="diffaugment",
            summary="colour, translation and cutout of reals and fakes",
            paper="2006.10738",
            options=DiffAugmentOptions,
            build=build,
        )
    ]
