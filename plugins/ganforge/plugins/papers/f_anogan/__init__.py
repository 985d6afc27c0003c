"""f-AnoGAN (Schlegl, Seeböck, Waldstein, Langs and Schmidt-Erfurth 2019, Medical Image Analysis 54): anomalies.

A WGAN-GP learns what is normal; then, with G and D frozen, an encoder learns to find each picture's latent (its
izi_f training). What G(E(x)) cannot show is anomalous: the loss is the score A, too (game.py). The command
`anomalies` scores a folder of pictures.

Deviations: one run for both trainings, of which the first takes the share `adversarial` of the rounds (a later
`--steps` moves that border); `dcgan`'s networks, where the authors' are residual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ganforge.core import DataSpec, Options, Recipe, hookimpl
from ganforge.core.config import PlayerConfig

if TYPE_CHECKING:
    import typer

    from ganforge.core.config import Config
    from ganforge.core.game import Game, Parts

PAPER = "Schlegl et al. 2019, f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial networks"


class EncoderConfig(PlayerConfig):
    """The encoder's side of the game: RMSProp at the authors' rate, with torch's decay; theirs is TensorFlow's."""

    optimizer: Literal["adam", "rmsprop", "sgd"] = "rmsprop"
    lr: float = Field(5e-5, gt=0, description="learning rate")


class FAnoganOptions(Options):
    """The encoder, and when its training begins."""

    kappa: float = Field(1.0, ge=0, description="κ: what the critic's features count beside pixels")
    adversarial: float = Field(0.67, gt=0, lt=1, description="share of the rounds in which G and D learn, and then not")
    width: int = Field(64, ge=1, le=1024, description="channels of the encoder's first maps")
    encoder: EncoderConfig = Field(EncoderConfig(), description="how the encoder learns")


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.f_anogan.game import FAnoganGame

    return FAnoganGame(parts)


def settings(options: FAnoganOptions, data: DataSpec) -> dict[str, Any]:
    """The authors' code: z normal of 128, WGAN-GP with λ = 10, 5 critic steps, Adam 1e-4 with (0, 0.9), batches of 64.

    No average of weights: the encoder inverts the generator there is.
    """
    adam = {"optimizer": "adam", "lr": 1e-4, "betas": (0.0, 0.9)}
    return {
        "architecture": {"name": "dcgan", "width": 64, "discriminator_norm": "none"},
        "loss": "wasserstein",
        "regularizers": {"gradient-penalty": {"weight": 10.0}},
        "latent": {"name": "normal", "dim": 128},
        "generator": adam,
        "discriminator": {**adam, "moves": 5},
        "ema": {"decay": 0.0},
        "batch_size": 64,
        "steps": 30_000,
    }


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="f-anogan",
            summary="WGAN-GP, then an encoder for it: what the generator cannot show is an anomaly",
            paper=PAPER,
            options=FAnoganOptions,
            settings=settings,
            game=build_game,
            small={"architecture": {"width": 8}, "recipe": {"width": 8}, "batch_size": 8},
        )
    ]


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    from ganforge.plugins.papers.f_anogan.command import anomalies

    app.command()(anomalies)
