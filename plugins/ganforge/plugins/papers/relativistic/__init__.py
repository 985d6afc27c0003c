"""Relativistic GANs (Jolicoeur-Martineau 2018, arXiv 1807.00734): D says which of two samples is the real one.

Losses `relativistic` (RpGAN: pairs of a real and a fake) and `relativistic-average` (RaGAN: each sample against
the other side's average), each of three kinds (losses.py), and a recipe for each with the paper's CIFAR-10
numbers.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import DataSpec, Loss, Options, Reading, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1807.00734"


class RelativisticOptions(Options):
    """Which GAN is made relativistic."""

    base: Literal["standard", "least-squares", "hinge"] = Field(
        "standard", description="standard: RSGAN and RaSGAN; least-squares: RaLSGAN; hinge: RaHingeGAN"
    )


def build_paired(options: RelativisticOptions) -> Any:
    from ganforge.plugins.papers.relativistic import losses

    return losses.Relativistic(options)


def build_average(options: RelativisticOptions) -> Any:
    from ganforge.plugins.papers.relativistic import losses

    return losses.RelativisticAverage(options)


def paired_settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 5.1: Adam with 2e-4, β₁ = 0.5, β₂ = 0.999, one step of D, batches of 32, spectral norm in D."""
    return {"loss": "relativistic", **(POINTS if data.kind == "points" else IMAGES)}


def average_settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """The same numbers as for pairs."""
    return {"loss": "relativistic-average", **(POINTS if data.kind == "points" else IMAGES)}


# DCGAN's discriminator without batch norm stands for the paper's, SNGAN's plain one, which has 3×3 convolutions too and
# slopes of 0.1.
IMAGES: dict[str, Any] = {
    "architecture": {"name": "dcgan", "discriminator_norm": "none"},
    "regularizers": {"spectral-norm": {"iterations": 1}},
    "latent": {"name": "normal", "dim": 128},
    **players(optimizer="adam", lr=2e-4, betas=(0.5, 0.999)),
    "batch_size": 32,
    "steps": 100_000,
}

# The paper has no points: these numbers are measured on eight Gaussians on a ring.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "latent": {"name": "normal", "dim": 2},
    **players(optimizer="adam", lr=1e-3, betas=(0.0, 0.9), lr_decay="linear"),
    "batch_size": 64,
    "steps": 10_000,
}

SMALL: dict[str, Any] = {"architecture": {"width": 8}, "batch_size": 8}


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    common: dict[str, Any] = {
        "paper": PAPER,
        "options": RelativisticOptions,
        # Only differences between real and fake count, so D's own level is anywhere.
        "reading": Reading("critic score, read as a difference", zero_is_failure=True),
    }
    return [
        Loss(
            name="relativistic",
            summary="which of a real and a fake is the real one, pair by pair (RpGAN)",
            build=build_paired,
            **common,
        ),
        Loss(
            name="relativistic-average",
            summary="is it more real than the other side on average (RaGAN)",
            build=build_average,
            **common,
        ),
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="relativistic",
            summary="relativistic GAN on pairs (RpGAN, RSGAN), spectral norm",
            paper=PAPER,
            settings=paired_settings,
            small=SMALL,
        ),
        Recipe(
            name="relativistic-average",
            summary="relativistic average GAN (RaGAN, RaSGAN), spectral norm",
            paper=PAPER,
            settings=average_settings,
            small=SMALL,
        ),
    ]
