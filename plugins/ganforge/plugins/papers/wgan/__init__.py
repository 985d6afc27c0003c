"""WGAN (Arjovsky, Chintala and Bottou 2017, arXiv 1701.07875): a critic kept smooth by clipping.

Loss `wasserstein` (losses.py), regularizer `weight-clipping` (clipping.py), and Algorithm 1 as a recipe.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import DataSpec, Loss, Options, Reading, Recipe, Regularizer, hookimpl

PAPER = "1701.07875"


class ClippingOptions(Options):
    """The box the critic's weights stay in."""

    clip: float = Field(0.01, gt=0, description="c of Algorithm 1: every critic weight stays in [-c, c]")


def build_loss(options: Options) -> Any:
    from ganforge.plugins.papers.wgan import losses

    return losses.Wasserstein()


def build_clipping(options: ClippingOptions) -> Any:
    from ganforge.plugins.papers.wgan import clipping

    return clipping.WeightClipping(options.clip)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Algorithm 1: RMSProp with alpha = 5e-5, c = 0.01, m = 64, n_critic = 5."""
    return {**COMMON, **(POINTS if data.kind == "points" else IMAGES)}


COMMON: dict[str, Any] = {"loss": "wasserstein", "batch_size": 64}

# The authors' code besides gives the critic 100 moves in the first 25 rounds and in every 500th.
IMAGES: dict[str, Any] = {
    "architecture": "dcgan",
    "regularizers": {"weight-clipping": {"clip": 0.01}},
    "latent": {"name": "normal", "dim": 100},
    "generator": {"optimizer": "rmsprop", "lr": 5e-5},
    "discriminator": {"optimizer": "rmsprop", "lr": 5e-5, "moves": 5},
    "steps": 20_000,
}

# The paper has no points: these numbers are measured on eight Gaussians on a ring. Its own
# (5e-5 and 0.01) are too slow for this network: 3 good samples in 100 after as many rounds.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "regularizers": {"weight-clipping": {"clip": 0.1}},
    "latent": {"name": "normal", "dim": 2},
    "generator": {"optimizer": "rmsprop", "lr": 5e-4, "lr_decay": "linear"},
    "discriminator": {"optimizer": "rmsprop", "lr": 5e-4, "lr_decay": "linear", "moves": 5},
    "steps": 7_000,
}


SMALL = {"architecture": {"width": 8}, "batch_size": 8}


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [
        Loss(
            name="wasserstein",
            summary="the critic's scores of reals against fakes: an earth mover's distance",
            paper=PAPER,
            build=build_loss,
            reading=Reading("critic score"),
        )
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="weight-clipping",
            summary="keep every critic weight in a small box",
            paper=PAPER,
            options=ClippingOptions,
            build=build_clipping,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    summary = "Wasserstein GAN with weight clipping"
    return [Recipe(name="wgan", summary=summary, paper=PAPER, settings=settings, small=SMALL)]
