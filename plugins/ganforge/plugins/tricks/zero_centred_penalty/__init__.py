"""`r1` and `r2`: zero-centred gradient penalties (Mescheder, Geiger and Nowozin 2018, arXiv 1801.04406)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl

PAPER = "1801.04406"


class ZeroCentredOptions(Options):
    """Section 4.1's number, and how lazily it is paid."""

    gamma: float = Field(10.0, ge=0, description="γ: the penalty is γ/2 times the mean squared gradient norm")
    every: int = Field(1, ge=1, description="paid in each `every`-th step of D, `every` times as high (StyleGAN2: 16)")


def build_r1(options: ZeroCentredOptions) -> Any:
    from ganforge.plugins.tricks.zero_centred_penalty import penalty

    return penalty.R1(options)


def build_r2(options: ZeroCentredOptions) -> Any:
    from ganforge.plugins.tricks.zero_centred_penalty import penalty

    return penalty.R2(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="r1",
            summary="the discriminator is kept flat where the real data is",
            paper=PAPER,
            options=ZeroCentredOptions,
            build=build_r1,
        ),
        Regularizer(
            name="r2",
            summary="the discriminator is kept flat where the fakes are",
            paper=PAPER,
            options=ZeroCentredOptions,
            build=build_r2,
        ),
    ]
