"""SNGAN (Miyato et al. 2018, arXiv 1802.05957): each layer of D divided by its spectral norm.

Regularizer `spectral-norm` (norm.py), loss `hinge` (losses.py), architecture `sn-resnet` (networks.py: table
4), and two recipes: `sngan` on DCGAN's convolutions and `sngan-resnet`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Loss, Options, Reading, Recipe, Regularizer, hookimpl

PAPER = "1802.05957"


class SpectralNormOptions(Options):
    """Which networks, and how exact."""

    networks: Literal["discriminator", "generator", "both"] = Field(
        "discriminator", description="whose linear and convolutional weights are normalised, and D's embeddings"
    )
    iterations: int = Field(1, ge=1, description="power iterations after each move of the network")


class ResNetOptions(Options):
    """The widths of table 4."""

    generator_width: int = Field(256, ge=1, le=2048, description="channels of the generator's maps")
    discriminator_width: int = Field(128, ge=1, le=2048, description="channels of the discriminator's maps")


def build_networks(options: ResNetOptions, built: Built) -> Any:
    from ganforge.plugins.papers.sngan import networks

    return networks.build(options, built)


def build_loss(options: Options) -> Any:
    from ganforge.plugins.papers.sngan import losses

    return losses.Hinge()


def build_norm(options: SpectralNormOptions) -> Any:
    from ganforge.plugins.papers.sngan import norm

    return norm.SpectralNormalisation(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Table 1, setting C: Adam with α = 2e-4, β₁ = 0.5, β₂ = 0.999, and n_dis = 1; z normal of 128."""
    return {**COMMON, **(POINTS if data.kind == "points" else IMAGES)}


def resnet_settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4 and the authors' code: Adam with α = 2e-4 falling to 0, β₁ = 0, β₂ = 0.9, and n_dis = 5.

    Batches are of 64 for both players; the authors' generator has twice as many in its own moves.
    """
    adam = {"optimizer": "adam", "lr": 2e-4, "betas": (0.0, 0.9), "lr_decay": "linear"}
    return {
        **COMMON,
        "architecture": "sn-resnet",
        "latent": {"name": "normal", "dim": 128},
        "generator": adam,
        "discriminator": {**adam, "moves": 5},
        "steps": 50_000,
    }


COMMON: dict[str, Any] = {
    "loss": "hinge",
    "regularizers": {"spectral-norm": {"iterations": 1}},
    "batch_size": 64,
}

# DCGAN's discriminator without batch norm stands for table 3's, which has 3×3 convolutions as well and slopes of 0.1.
IMAGES: dict[str, Any] = {
    "architecture": {"name": "dcgan", "discriminator_norm": "none"},
    "latent": {"name": "normal", "dim": 128},
    "generator": {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999)},
    "discriminator": {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999), "moves": 1},
    "steps": 20_000,
}

# The paper has no points: these numbers are measured on eight Gaussians on a ring.
POINTS_ADAM = {"optimizer": "adam", "lr": 1e-3, "betas": (0.0, 0.9), "lr_decay": "linear"}
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "latent": {"name": "normal", "dim": 2},
    "generator": POINTS_ADAM,
    "discriminator": {**POINTS_ADAM, "moves": 3},
    "steps": 7_000,
}


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="sn-resnet",
            summary="residual blocks; squares of 16, 32, 64 and 128",
            paper=PAPER,
            options=ResNetOptions,
            build=build_networks,
        )
    ]


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [
        Loss(
            name="hinge",
            summary="the discriminator learns only from samples within its margin",
            paper=PAPER,
            build=build_loss,
            reading=Reading("D, margins at -1 and 1", even=0.0, healthy=(-2.0, 2.0), zero_is_failure=True),
        )
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="spectral-norm",
            summary="every weight divided by its largest singular value",
            paper=PAPER,
            options=SpectralNormOptions,
            build=build_norm,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="sngan",
            summary="spectrally normalised GAN, DCGAN-shaped",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 8}, "batch_size": 8},
        ),
        Recipe(
            name="sngan-resnet",
            summary="spectrally normalised GAN of residual blocks",
            paper=PAPER,
            settings=resnet_settings,
            small={"architecture": {"generator_width": 8, "discriminator_width": 8}, "batch_size": 8},
        ),
    ]
