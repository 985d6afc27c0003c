"""f-GAN (Nowozin, Cseke and Tomioka 2016, arXiv 1606.00709): any f-divergence as a GAN's loss.

Loss `f-divergence` (losses.py: equations 6 and 7, with the functions of tables 1, 2 and 6) and the recipe.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import DataSpec, Loss, Options, Reading, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1606.00709"

Divergence = Literal["kl", "reverse-kl", "pearson", "squared-hellinger", "jensen-shannon", "gan"]


class DivergenceOptions(Options):
    """Which divergence, and what the generator does about it."""

    divergence: Divergence = Field("squared-hellinger", description="of the data from the generator's samples")
    alternative: bool = Field(
        False, description="the generator maximises T(G(z)), as in section 3.2, instead of minimising the bound"
    )


def build(options: DivergenceOptions) -> Any:
    from ganforge.plugins.papers.fgan import losses

    return losses.FDivergence(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4: Adam with 2e-4 and β₁ = 0.5, z uniform of 100; the networks are DCGAN's, as for its bedrooms.

    G has the objective of section 3.2: with equation 7's, the squared Hellinger distance left it nothing to learn
    from once D had won, as on digits within 120 rounds.
    """
    return {**COMMON, **(POINTS if data.kind == "points" else IMAGES)}


# Batches of 64 in place of the paper's 4096.
COMMON: dict[str, Any] = {
    "loss": {"name": "f-divergence", "divergence": "squared-hellinger", "alternative": True},
    "batch_size": 64,
}
IMAGES: dict[str, Any] = {
    "architecture": "dcgan",
    "latent": {"name": "uniform", "dim": 100},
    **players(optimizer="adam", lr=2e-4, betas=(0.5, 0.999)),
    "steps": 20_000,
}

# The paper has no points in the plane: 3,000 rounds of these numbers found all modes of the ring.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "latent": {"name": "normal", "dim": 2},
    **players(optimizer="adam", lr=1e-3, betas=(0.5, 0.999), lr_decay="linear"),
    "steps": 10_000,
}


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [
        Loss(
            name="f-divergence",
            summary="KL, reverse KL, Pearson, squared Hellinger, Jensen-Shannon, or the original GAN's",
            paper=PAPER,
            options=DivergenceOptions,
            build=build,
            reading=Reading("D(x)", even=0.5, healthy=(0.3, 0.7)),
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="fgan",
            summary="GAN that minimises an f-divergence of choice",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 8}, "batch_size": 8, "latent": {"dim": 8}},
        )
    ]
