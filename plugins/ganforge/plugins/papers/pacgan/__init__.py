"""PacGAN (Lin, Khetan, Fanti and Oh 2017, arXiv 1712.04086): the discriminator judges several samples at once.

A pack of m samples, all real or all generated, is one input with m times the channels (packing.py), so lost modes
show as samples too much alike. Any architecture, loss and regularizer can be packed: the game (game.py) is the
standard one but for the shape of what is judged.

With class labels a pack is judged by its first sample's, at which the paper does not look: the pack's samples are
independent, and each is first in its turn, so the equilibrium is still the data's joint distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import DataSpec, Options, Recipe, hookimpl

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Parts

PAPER = "1712.04086"


class PacOptions(Options):
    """The degree of packing."""

    samples: int = Field(2, ge=1, le=64, description="m, samples the discriminator judges together (PacGANm)")


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.pacgan.game import PacGame

    return PacGame(parts)


def settings(options: PacOptions, data: DataSpec) -> dict[str, Any]:
    """The packed GAN's own hyperparameters: packing changes nothing but the discriminator's first layer."""
    chosen = POINTS if data.kind == "points" else IMAGES
    return {**chosen, "batch_size": PACKS * options.samples}


PACKS = 64

# The authors' code for stacked MNIST: 64 packs, two generator steps for one of D. Its networks are VEEGAN's, a DCGAN
# with four halvings from 64 channels on; here they are ours.
IMAGES: dict[str, Any] = {
    "architecture": "dcgan",
    "loss": "non-saturating",
    "latent": {"name": "uniform", "dim": 100},
    "generator": {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999), "moves": 2},
    "discriminator": {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999)},
    "steps": 20_000,
}

# Recipe vanilla's, measured on the ring, packed. The authors' networks for points (G 4×400 with batch norm, D 3×200
# maxout, Adam with 1e-4 and β₁ = 0.8, z of 2) take 400,000 rounds of 100 packs.
POINTS_ADAM = {"optimizer": "adam", "lr": 1e-3, "betas": (0.5, 0.999), "lr_decay": "linear"}
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "loss": "non-saturating",
    "latent": {"name": "normal", "dim": 2},
    "generator": POINTS_ADAM,
    "discriminator": {**POINTS_ADAM, "moves": 2},
    "steps": 10_000,
}


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="pacgan",
            summary="the discriminator judges packs of samples",
            paper=PAPER,
            options=PacOptions,
            settings=settings,
            game=build_game,
            small={"architecture": {"width": 8}, "batch_size": 8},
        )
    ]
