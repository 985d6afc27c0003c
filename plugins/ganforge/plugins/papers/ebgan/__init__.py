"""EBGAN (Zhao, Mathieu and LeCun 2016, arXiv 1609.03126): D gives low energies to reals and high ones to fakes.

Loss `energy-margin` (losses.py: equations 1 and 2), regularizer `pulling-away` (pulling_away.py: equation 4),
architecture `ebgan` (networks.py: D an autoencoder, G as in DCGAN), and two recipes, `ebgan` and `ebgan-pt`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Loss, Options, Reading, Recipe, Regularizer, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1609.03126"


class MarginOptions(Options):
    """The margin is in the units of the energies, the mean squared errors of values in [-1, 1].

    The paper's margins (10 for MNIST, 20 for CelebA, 80 for LSUN) are of other units: it does not say which.
    """

    margin: float = Field(0.25, gt=0, description="m: fakes of a higher energy teach the discriminator nothing")


class PullingAwayOptions(Options):
    """Equation 4's weight in the generator's loss."""

    weight: float = Field(0.1, ge=0, description="weight of the mean squared cosine between codes")


class EbganOptions(Options):
    """The width of appendix D's networks for CelebA, at 64×64."""

    width: int = Field(64, ge=1, le=1024, description="channels of the widest maps; they double as maps halve")


def build_networks(options: EbganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.ebgan import networks

    return networks.build(options, built)


def build_loss(options: MarginOptions) -> Any:
    from ganforge.plugins.papers.ebgan import losses

    return losses.EnergyMargin(options.margin)


def build_pulling_away(options: PullingAwayOptions) -> Any:
    from ganforge.plugins.papers.ebgan import pulling_away

    return pulling_away.PullingAway(options.weight)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Appendix C: Adam with 1e-3 in both players."""
    return {**COMMON, **(POINTS if data.kind == "points" else IMAGES)}


def pulling_settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """The same with the pulling-away term, at appendix C's weight of 0.1."""
    return {**settings(options, data), "regularizers": {"pulling-away": {"weight": 0.1}}}


COMMON: dict[str, Any] = {"architecture": "ebgan", "batch_size": 64}

# β₁ is DCGAN's, whose guidance the authors followed; the margin is the only one tried, on digits.
IMAGES: dict[str, Any] = {
    "loss": {"name": "energy-margin", "margin": 0.25},
    "latent": {"name": "normal", "dim": 100},
    **players(optimizer="adam", lr=1e-3, betas=(0.5, 0.999)),
    "steps": 20_000,
}

# The paper has no points: 3,000 rounds of these numbers found all modes of the ring, a third of the samples on them.
POINTS: dict[str, Any] = {
    "loss": {"name": "energy-margin", "margin": 1.0},
    "latent": {"name": "normal", "dim": 2},
    **players(optimizer="adam", lr=1e-3, betas=(0.5, 0.999), lr_decay="linear"),
    "steps": 10_000,
}
SMALL: dict[str, Any] = {"architecture": {"width": 4}, "batch_size": 8, "latent": {"dim": 8}}


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="ebgan",
            summary="discriminator an autoencoder; squares of 8 to 256, and 28; points",
            paper=PAPER,
            options=EbganOptions,
            build=build_networks,
        )
    ]


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [
        Loss(
            name="energy-margin",
            summary="low energies for reals, and for fakes at least the margin",
            paper=PAPER,
            options=MarginOptions,
            build=build_loss,
            reading=Reading("energy"),
        )
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="pulling-away",
            summary="the generator keeps the codes of its samples orthogonal",
            paper=PAPER,
            options=PullingAwayOptions,
            build=build_pulling_away,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    common: dict[str, Any] = {"paper": PAPER, "small": SMALL}
    return [
        Recipe(name="ebgan", summary="energy-based GAN: D is an autoencoder", settings=settings, **common),
        Recipe(name="ebgan-pt", summary="energy-based GAN, pulling away", settings=pulling_settings, **common),
    ]
