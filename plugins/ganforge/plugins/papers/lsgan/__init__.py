"""LSGAN (Mao et al. 2016, arXiv 1611.04076): D regresses to a number for real and one for fake.

Loss `least-squares` (losses.py: equation 2) and the recipe, on DCGAN's networks.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from ganforge.core import DataSpec, Loss, Options, Reading, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1611.04076"


class LeastSquaresOptions(Options):
    """The three targets and the paper's factor.

    (a, b, c) = (0, 1, 1) is equation 9, which the paper's experiments use; (-1, 1, 0) is equation 8, whose
    generator minimises the Pearson chi-squared divergence.
    """

    a: float = Field(0.0, description="what D shall say of fakes")
    b: float = Field(1.0, description="what D shall say of reals")
    c: float = Field(1.0, description="what G wants D to say of its fakes")
    half: bool = Field(True, description="the factor 1/2 before both losses, as in the paper")

    @model_validator(mode="after")
    def _apart(self) -> LeastSquaresOptions:
        if self.a == self.b:
            raise ValueError(f"the targets a (fake) and b (real) must differ, but both are {self.a:g}")
        return self


def build(options: LeastSquaresOptions) -> Any:
    from ganforge.plugins.papers.lsgan import losses

    return losses.LeastSquares(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4: Adam with β₁ = 0.5 and 1e-3, the rate for scenes (handwritten characters got 2e-4)."""
    return {**COMMON, **(POINTS if data.kind == "points" else IMAGES)}


COMMON: dict[str, Any] = {"loss": "least-squares", "batch_size": 64}

# The networks and z are DCGAN's, at the data's size, instead of the paper's 112×112 ones with a z of 1,024.
IMAGES: dict[str, Any] = {
    "architecture": "dcgan",
    "latent": {"name": "uniform", "dim": 100},
    **players(optimizer="adam", lr=1e-3, betas=(0.5, 0.999)),
    "steps": 20_000,
}

# For points the paper's numbers are not to be had: these are measured on eight Gaussians on a ring.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "latent": {"name": "normal", "dim": 2},
    **players(optimizer="adam", lr=1e-3, betas=(0.0, 0.9), lr_decay="linear"),
    "steps": 10_000,
}


SMALL = {"architecture": {"width": 8}, "batch_size": 8}


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [
        Loss(
            name="least-squares",
            summary="D regresses to a target for real and one for fake",
            paper=PAPER,
            options=LeastSquaresOptions,
            build=build,
            reading=Reading("D, 0 fake and 1 real", even=0.5, healthy=(0.2, 0.8), zero_is_failure=True),
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [Recipe(name="lsgan", summary="least-squares GAN", paper=PAPER, settings=settings, small=SMALL)]
