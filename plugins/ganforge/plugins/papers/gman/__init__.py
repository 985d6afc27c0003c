"""GMAN (Durugkar, Gemp and Mahadevan 2016, arXiv 1611.01673): one generator against several discriminators.

Each discriminator has its own duel with the generator, so any architecture, loss and penalty holds for each by
itself; the generator minimises an aggregate of what it loses in each (game.py: sections 3 and 4).

Deviations: what is aggregated are the generator's losses, as in the authors' code, so that any loss will do (the
paper's V_i have the term of the reals beside). All discriminators see the whole batch, which theirs split. They
differ by their initial weights; theirs also had a half or a quarter of the channels and dropout of 0.3 to 0.7, which
`members` gives: `--set recipe.members="[{}, {width = 64}, {width = 32}]"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ganforge.core import DataSpec, Options, Recipe, hookimpl

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Parts

PAPER = "1611.01673"


class GmanOptions(Options):
    """The discriminators, and how the generator weighs them."""

    discriminators: int = Field(3, ge=1, le=64, description="N")
    aggregate: Literal["mean", "max", "softmax", "learned"] = Field(
        "softmax",
        description="mean: λ = 0; max: the harshest one alone; softmax: weights ∝ exp(λ loss); "
        "learned: softmax, whose λ the generator moves (GMAN*)",
    )
    sharpness: float = Field(1.0, ge=0, description="λ of softmax; where learned starts")
    reward: float = Field(1e-3, ge=0, description="c of GMAN*: the generator also minimises -cλ")
    members: tuple[dict[str, Any], ...] = Field(
        (), description="for each discriminator in turn, the architecture's options in which it differs"
    )

    @model_validator(mode="after")
    def _fit(self) -> GmanOptions:
        if len(self.members) > self.discriminators:
            raise ValueError(f"members describes {len(self.members)} of {self.discriminators} discriminators")
        if self.aggregate == "learned" and self.sharpness == 0:
            raise ValueError("aggregate=learned starts from a sharpness above 0")
        return self


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.gman.game import GmanGame

    return GmanGame(parts)


def settings(options: GmanOptions, data: DataSpec) -> dict[str, Any]:
    """Appendix: DCGAN-like networks, Adam with 2e-4 and β₁ = 0.5, z uniform of 100, batches of 100; V of equation 1."""
    return POINTS if data.kind == "points" else IMAGES


ADAM = {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999)}

# The authors' discriminators have no batch norm.
IMAGES: dict[str, Any] = {
    "architecture": {"name": "dcgan", "discriminator_norm": "none"},
    "loss": "minimax",
    "latent": {"name": "uniform", "dim": 100},
    "generator": ADAM,
    "discriminator": ADAM,
    "batch_size": 100,
    "steps": 20_000,
}

# The paper has no points: these are recipe vanilla's numbers, measured on the ring.
POINTS_ADAM = {"optimizer": "adam", "lr": 1e-3, "betas": (0.5, 0.999), "lr_decay": "linear"}
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "loss": "non-saturating",
    "latent": {"name": "normal", "dim": 2},
    "generator": POINTS_ADAM,
    "discriminator": POINTS_ADAM,
    "batch_size": 64,
    "steps": 10_000,
}


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="gman",
            summary="several discriminators, weighed by how much they object",
            paper=PAPER,
            options=GmanOptions,
            settings=settings,
            game=build_game,
            small={"architecture": {"width": 8}, "batch_size": 8},
        )
    ]
