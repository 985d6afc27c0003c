"""WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028): a critic whose gradient is kept near norm 1.

Regularizer `gradient-penalty` (penalty.py: equation 3) and Algorithm 1 as a recipe, with loss `wasserstein`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import DataSpec, Options, Recipe, Regularizer, hookimpl

PAPER = "1704.00028"


class PenaltyOptions(Options):
    """Equation 3's numbers."""

    weight: float = Field(10.0, ge=0, description="λ")
    target: float = Field(1.0, ge=0, description="the gradient norm that costs nothing")
    one_sided: bool = Field(False, description="only norms above the target cost (section 4)")


def build(options: PenaltyOptions) -> Any:
    from ganforge.plugins.papers.wgan_gp import penalty

    return penalty.GradientPenalty(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Algorithm 1: λ = 10, n_critic = 5, Adam with α = 1e-4, β₁ = 0, β₂ = 0.9, batches of 64."""
    return {**COMMON, **(POINTS if data.kind == "points" else IMAGES)}


COMMON: dict[str, Any] = {"loss": "wasserstein", "batch_size": 64}

# Section 4: no batch norm in the critic, whose penalty is on each sample by itself.
IMAGES: dict[str, Any] = {
    "architecture": {"name": "dcgan", "discriminator_norm": "none"},
    "regularizers": {"gradient-penalty": {"weight": 10.0}},
    "latent": {"name": "normal", "dim": 128},
    "generator": {"optimizer": "adam", "lr": 1e-4, "betas": (0.0, 0.9)},
    "discriminator": {"optimizer": "adam", "lr": 1e-4, "betas": (0.0, 0.9), "moves": 5},
    "steps": 20_000,
}

# The paper shows a ring and a grid (section 4) without numbers. The authors' code has λ = 0.1, five steps of D, Adam
# with 1e-4 and β₁ = 0.5, batches of 256 and layers of 512; these numbers are measured on the ring, in far fewer rounds.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "regularizers": {"gradient-penalty": {"weight": 0.1}},
    "latent": {"name": "normal", "dim": 2},
    "generator": {"optimizer": "adam", "lr": 1e-3, "betas": (0.0, 0.9), "lr_decay": "linear"},
    "discriminator": {"optimizer": "adam", "lr": 1e-3, "betas": (0.0, 0.9), "lr_decay": "linear", "moves": 3},
    "steps": 7_000,
}


SMALL = {"architecture": {"width": 8}, "batch_size": 8}


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="gradient-penalty",
            summary="the critic's gradient norm is held at 1 between reals and fakes",
            paper=PAPER,
            options=PenaltyOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    summary = "Wasserstein GAN with gradient penalty"
    return [Recipe(name="wgan-gp", summary=summary, paper=PAPER, settings=settings, small=SMALL)]
