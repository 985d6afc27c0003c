"""DRAGAN (Kodali et al. 2017, arXiv 1705.07215): D's gradient is held near norm 1 around the real data.

Regularizer `dragan` (penalty.py) and the recipe, on DCGAN's networks with the non-saturating loss.

Deviations: the paper's noise is δ ~ N(0, cI); this is the authors' code's, which is uniform, and a random share
of it (penalty.py). The code's networks are small linear ones for MNIST; the paper's main ones are DCGAN's. Here
they go without batch norm in D, as in WGAN-GP: the penalty is on the gradient of each sample by itself.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import DataSpec, Options, Recipe, Regularizer, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1705.07215"


class DraganOptions(Options):
    """The penalty's numbers in the authors' code."""

    weight: float = Field(10.0, ge=0, description="λ")
    target: float = Field(1.0, ge=0, description="k: the gradient norm that costs nothing")
    noise: float = Field(0.5, ge=0, description="the largest perturbation, in standard deviations of the batch")


def build(options: DraganOptions) -> Any:
    from ganforge.plugins.papers.dragan import penalty

    return penalty.Dragan(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """The authors' code: λ = 10, k = 1, Adam with 1e-4, β₁ = 0.5, β₂ = 0.9, batches of 128, z uniform of 100."""
    return {"loss": "non-saturating", **(POINTS if data.kind == "points" else IMAGES)}


IMAGES: dict[str, Any] = {
    "architecture": {"name": "dcgan", "discriminator_norm": "none"},
    "regularizers": {"dragan": {"weight": 10.0}},
    "latent": {"name": "uniform", "dim": 100},
    **players(optimizer="adam", lr=1e-4, betas=(0.5, 0.9)),
    "batch_size": 128,
    "steps": 20_000,
}

# The paper has no numbers for points: these are measured on eight Gaussians on a ring.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "regularizers": {"dragan": {"weight": 0.1}},
    "latent": {"name": "normal", "dim": 2},
    **players(optimizer="adam", lr=1e-3, betas=(0.5, 0.9), lr_decay="linear"),
    "batch_size": 64,
    "steps": 10_000,
}


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="dragan",
            summary="the discriminator's gradient norm is held at 1 around the real data",
            paper=PAPER,
            options=DraganOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="dragan",
            summary="non-saturating GAN with a gradient penalty around the real data",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 8}, "batch_size": 8, **players(lr=1e-3)},
        )
    ]
