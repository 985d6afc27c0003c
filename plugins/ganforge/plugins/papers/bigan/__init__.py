"""BiGAN (Donahue, Krähenbühl and Darrell 2016, arXiv 1605.09782), or ALI (Dumoulin et al. 2016, arXiv 1606.00704).

An encoder E learns beside the generator to invert it, because the discriminator judges pairs: (x, E(x)) of a real
sample and (G(z), z) of a generated one (game.py: equations 2 and 3; networks.py: D(x, z)). Samples, and real ones
over their reconstructions G(E(x)), are in the run's pictures.

Deviations: the networks of x are those of any architecture whose discriminator has features, where the papers have
their own; D's opinion of a pair is its opinion of x plus that of a hidden layer that sees the features of x beside z.
E is deterministic, as BiGAN's (ALI's has noise). Real samples that a penalty makes up come with the codes E gives them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import DataSpec, Options, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Parts

PAPER = "1605.09782"


class BiganOptions(Options):
    """What the pair's networks have beyond the architecture's."""

    encoder: int = Field(64, ge=1, le=1024, description="channels of the encoder's first maps; for points its layers")
    joint: int = Field(1024, ge=1, le=65536, description="units of D's layer that sees x and z together")


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.bigan.game import BiganGame

    return BiganGame(parts)


def settings(options: BiganOptions, data: DataSpec) -> dict[str, Any]:
    """Section 4 and the authors' code: z uniform of 50; Adam 2e-4 with β₁ = 0.5, falling to 2e-6 over the second half.

    Batches of 128 and a weight decay of 2.5e-5. For points, recipe vanilla's numbers.
    """
    return POINTS if data.kind == "points" else IMAGES


IMAGES: dict[str, Any] = {
    "architecture": {"name": "dcgan", "width": 64},
    "loss": "non-saturating",
    "latent": {"name": "uniform", "dim": 50},
    **players(
        optimizer="adam", lr=2e-4, betas=(0.5, 0.999), weight_decay=2.5e-5,
        lr_decay="exponential", lr_final=0.01, lr_hold=0.5,
    ),
    "batch_size": 128,
    "steps": 20_000,
}  # fmt: skip

POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "loss": "non-saturating",
    "latent": {"name": "normal", "dim": 2},
    **players(optimizer="adam", lr=1e-3, betas=(0.5, 0.999), lr_decay="linear"),
    "batch_size": 64,
    "steps": 10_000,
}


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="bigan",
            summary="an encoder learns to invert the generator; D judges pairs of sample and latent",
            paper=PAPER,
            options=BiganOptions,
            settings=settings,
            game=build_game,
            small={"architecture": {"width": 8}, "recipe": {"encoder": 8, "joint": 32}, "batch_size": 8},
        )
    ]
