"""Generative adversarial nets (Goodfellow et al. 2014, arXiv 1406.2661): the game itself, with linear layers.

The losses `minimax` and `non-saturating`, the architecture `mlp` (its layers as data: stacks.py), the recipe.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Loss, Options, Reading, Recipe, hookimpl
from ganforge.plugins.papers.vanilla.stacks import MlpOptions, StackName

PAPER = "1406.2661"


class CrossEntropyOptions(Options):
    """What the discriminator is told in place of 1 for real and 0 for fake; the generator's loss stays.

    `smoothing=one-sided` makes real 0.9 (Salimans et al., arXiv 1606.03498, section 3.4) and `two-sided` fake
    0.1 besides, which they advise against; `random` draws real from U[0.7, 1.2] and fake from U[0, 0.3], each
    sample its own (Chintala et al. 2016, "How to train a GAN?", trick 6, whose noisy labels `flip` is).
    """

    smoothing: Literal["none", "one-sided", "two-sided", "random"] = Field(
        "none", description="targets for D: real .9, real .9 and fake .1, or U[.7, 1.2] and U[0, .3]"
    )
    flip: float = Field(0.0, ge=0, le=0.5, description="probability of a flipped label, in D only")


class VanillaOptions(Options):
    """Whose networks, with their hyperparameters; and which optimizer."""

    stack: Literal["auto", StackName] = Field("auto", description="auto: sheet for images, plain for points")
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="sgd: with momentum, as Algorithm 1, at the authors' rate and batch size"
    )


def build_mlp(options: MlpOptions, built: Built) -> Any:
    from ganforge.plugins.papers.vanilla import networks

    return networks.build(options, built)


def build_minimax(options: CrossEntropyOptions) -> Any:
    from ganforge.plugins.papers.vanilla import losses

    return losses.Minimax(options)


def build_non_saturating(options: CrossEntropyOptions) -> Any:
    from ganforge.plugins.papers.vanilla import losses

    return losses.NonSaturating(options)


ADAM = {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999)}
NORMAL = {"name": "normal", "dim": 100}
# Linear layers on pictures turn quickly at these rates: an average of their weights is a blur, and no tutorial
# takes one. On points the falling rate makes it harmless.
NO_EMA = {"decay": 0.0}

PLAYERS: dict[str, dict[str, Any]] = {
    "points": {**ADAM, "lr": 1e-3, "lr_decay": "linear"},
    "plain": ADAM,
    "sheet": ADAM,
    "zoo": ADAM,
    "tutorial": {"optimizer": "adam", "lr": 1e-3, "betas": (0.9, 0.999)},
}
"""How both players of each stack learn; `points` is the plain stack on points in the plane."""

SETTINGS: dict[str, dict[str, Any]] = {
    # Two numbers: with 4 or 16, more trainings lost modes of the ring.
    "points": {"batch_size": 64, "latent": {"name": "normal", "dim": 2}, "steps": 10_000},
    "plain": {"batch_size": 64, "latent": NORMAL, "ema": NO_EMA},
    "sheet": {"batch_size": 64, "latent": NORMAL, "ema": NO_EMA},
    # The zoo moves the generator first and shows the discriminator the very same fakes.
    "zoo": {"batch_size": 64, "latent": NORMAL, "ema": NO_EMA, "order": "generator-first", "fakes": "shared"},
    "tutorial": {"batch_size": 128, "latent": {"name": "uniform", "dim": 100}, "ema": NO_EMA},
}

# Algorithm 1 ends with "we used momentum in our experiments"; the numbers are those with which the authors' mnist.yaml
# begins: it raises the momentum to 0.7 and lets the rate fall by 4e-6 of itself in each step, which is left out.
SGD = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.5}
SGD_BATCH = 100


def settings(options: VanillaOptions, data: DataSpec) -> dict[str, Any]:
    """The chosen stack's layers and hyperparameters; non-saturating loss; one discriminator step but on points."""
    stack = options.stack
    if stack == "auto":
        stack = "plain" if data.kind == "points" else "sheet"
    training = "points" if stack == "plain" and data.kind == "points" else stack
    player, chosen = PLAYERS[training], SETTINGS[training]
    # Algorithm 1's k: on the ring, two steps kept every mode where one lost some or gave them unequal shares.
    steps = 2 if training == "points" else 1
    if options.optimizer == "sgd":
        player, steps, chosen = SGD, 1, {**chosen, "batch_size": SGD_BATCH}
    return {
        "architecture": {"name": "mlp", "stack": stack},
        "loss": "non-saturating",
        "generator": player,
        "discriminator": {**player, "moves": steps},
        "steps": 20_000,
        **chosen,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="mlp",
            summary="linear layers; images of any size, and points",
            paper=PAPER,
            options=MlpOptions,
            build=build_mlp,
        )
    ]


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    common: dict[str, Any] = {
        "paper": PAPER,
        "options": CrossEntropyOptions,
        "reading": Reading("D(x)", even=0.5, healthy=(0.3, 0.7), zero_is_failure=True),
    }
    return [
        Loss(
            name="minimax",
            summary="both players on log D(x) + log(1 - D(G(z)))",
            build=build_minimax,
            **common,
        ),
        Loss(
            name="non-saturating",
            summary="cross-entropy; the generator minimises -log D(G(z))",
            build=build_non_saturating,
            **common,
        ),
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="vanilla",
            summary="the original GAN with linear layers; images and points",
            paper=PAPER,
            options=VanillaOptions,
            settings=settings,
            small={"batch_size": 16},
        )
    ]
