"""Unrolled GAN (Metz, Poole, Pfau and Sohl-Dickstein 2016, arXiv 1611.02163).

The generator moves against the discriminator that would answer it: the one k of D's own steps ahead, through
which the generator's gradient flows (game.py: section 2; optimizers.py: the steps). As in the paper the steps ahead
are Adam's, or whatever moves D, from its moments on; as in the authors' notebook they are on the generator's own
minibatch of fakes and one of reals. Steps ahead draw dropout, noise and the like anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ganforge.core import DataSpec, Options, Recipe, hookimpl

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Parts

PAPER = "1611.02163"


class UnrolledOptions(Options):
    """How far the generator looks ahead, and at what."""

    steps: int = Field(5, ge=0, le=100, description="K, discriminator steps looked ahead; 0 is the plain game")
    through: bool = Field(
        True, description="the generator's gradient flows through the look-ahead, second-order terms and all"
    )
    objective: Literal["auto", "saddle", "loss"] = Field(
        "auto",
        description="what G minimises there: minus D's loss (the paper's f), or the config's loss for G; "
        "auto: saddle for points, loss for images",
    )


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.unrolled.game import UnrolledGame

    return UnrolledGame(parts)


def settings(options: UnrolledOptions, data: DataSpec) -> dict[str, Any]:
    """Adam with β₁ = 0.5; for points the saddle objective of equation 2, which is both players' loss."""
    return POINTS if data.kind == "points" else IMAGES


# The numbers of the paper's stacked MNIST as PacGAN's authors rebuilt it, on DCGAN's networks. With the saddle
# objective DCGAN's discriminator won within 300 rounds on digits and left the generator no gradient.
IMAGES: dict[str, Any] = {
    "architecture": "dcgan",
    "loss": "non-saturating",
    "latent": {"name": "normal", "dim": 256},
    "generator": {"optimizer": "adam", "lr": 1e-4, "betas": (0.5, 0.99)},
    "discriminator": {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.99)},
    "batch_size": 128,
    "steps": 20_000,
}

# Measured on the ring: recipe vanilla's networks, batch and rates, with one D step. The paper's appendix A has two
# hidden layers of 128 in G and one in D, z of 256 and Adam with 1e-4; the authors' notebook two of 128 in both, with
# tanh, 1e-3 for G and batches of 512, for 25,000 steps.
POINTS_ADAM = {"optimizer": "adam", "lr": 1e-3, "betas": (0.5, 0.999), "lr_decay": "linear"}
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "loss": "minimax",
    "latent": {"name": "normal", "dim": 2},
    "generator": POINTS_ADAM,
    "discriminator": POINTS_ADAM,
    "batch_size": 64,
    "steps": 5_000,
}


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="unrolled",
            summary="the generator looks ahead, through steps of the discriminator",
            paper=PAPER,
            options=UnrolledOptions,
            settings=settings,
            game=build_game,
            small={"architecture": {"width": 8}, "latent": {"dim": 8}, "batch_size": 8, "recipe": {"steps": 2}},
        )
    ]
