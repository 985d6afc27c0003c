"""pix2pix (Isola, Zhu, Zhou and Efros 2016, arXiv 1611.07004): translation learned from pairs.

A U-Net translates; the discriminator sees what it was given beside what it made of it, patch by patch, and an L1 loss
holds the whole together (game.py: equations 1 to 4; networks.py: the appendix).

Deviations: batch norm, which in the paper's batches of one is taken over the one picture, in training and at test, is
instance norm, and so the same in any batch, with scales and shifts in the translator; the innermost maps have none, as
the paper's errata ask for. Pictures are neither jittered (256 cut out of 286) nor, unless `data.flip` is set, mirrored.
Dropout, the paper's noise, is off once the training is over: a picture has one translation. The discriminator's loss is
not halved, of which Adam sees nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Options, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Networks, Parts

PAPER = "1611.07004"


class PairOptions(Options):
    """How much the translation must be the other picture of the pair."""

    l1: float = Field(100.0, ge=0, description="λ of equation 4")


class UnetOptions(Options):
    """The translator and the discriminator."""

    width: int = Field(64, ge=1, le=512, description="channels of the widest maps; they double up to eight times that")
    dropout: float = Field(0.5, ge=0, lt=1, description="on the way up, in the innermost block and the two after it")


def build(options: UnetOptions, built: Built) -> Networks:
    from ganforge.plugins.papers.pix2pix import networks

    return networks.build(options, built)


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.pix2pix.game import PairGame

    return PairGame(parts)


def settings(options: PairOptions, data: DataSpec) -> dict[str, Any]:
    """Section 3.3: Adam 2e-4 and β₁ = 0.5 in batches of 1; 200 epochs of the paper's 400 facades."""
    return {
        "architecture": "pix2pix",
        "loss": "non-saturating",
        **players(optimizer="adam", lr=2e-4, betas=(0.5, 0.999)),
        "ema": {"decay": 0.0},
        "batch_size": 1,
        "steps": 80_000,
        "samples": 16,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="pix2pix",
            summary="a U-Net that translates, and a patch discriminator; sides from 16 that can be halved twice",
            paper=PAPER,
            options=UnetOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="pix2pix",
            summary="translation learned from pairs of pictures",
            paper=PAPER,
            options=PairOptions,
            settings=settings,
            takes="pairs",
            game=build_game,
            small={
                "data": {"name": "negatives", "resolution": 16},
                "architecture": {"width": 8},
                "batch_size": 4,
            },
        )
    ]
