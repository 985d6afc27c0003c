"""CycleGAN (Zhu, Park, Isola and Efros 2017, arXiv 1703.10593): translation between two domains without pairs.

A translator each way, G: A → B and F: B → A, each with its own discriminator and so its own duel; there and back must
end where it began (game.py: equation 2). Networks are Johnson et al.'s residual ones and PatchGANs (networks.py).

Deviations: each player translates pictures of its own move, where the authors' discriminators see what the generators
have just made; the discriminators' loss is not halved, of which Adam sees nothing. Pictures are not cut at random and,
unless `data.flip` is set, not mirrored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Options, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Networks, Parts

PAPER = "1703.10593"


class CycleOptions(Options):
    """What keeps a translation near its original, and what discriminators remember."""

    cycle: float = Field(10.0, ge=0, description="λ of equation 3: pictures must come back from there and back")
    identity: float = Field(
        0.5, ge=0, description="times λ: pictures that are in the wanted domain already must stay (section 5.2)"
    )
    history: int = Field(
        50, ge=0, le=10_000, description="translations kept, half of the time shown in the place of new ones; 0: none"
    )


class ResnetOptions(Options):
    """The translators and the discriminators."""

    width: int = Field(64, ge=1, le=512, description="channels of the widest maps; they double as maps halve")
    blocks: int | None = Field(
        None, ge=1, le=64, description="residual blocks; by default 6, and 9 from pictures of 256 on"
    )


def build(options: ResnetOptions, built: Built) -> Networks:
    from ganforge.plugins.papers.cyclegan import networks

    return networks.build(options, built)


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.cyclegan.game import CycleGame

    return CycleGame(parts)


def settings(options: CycleOptions, data: DataSpec) -> dict[str, Any]:
    """Section 4: least squares, Adam 2e-4 in batches of 1, the rate falling linearly in the second half.

    The length is the paper's 200 epochs of its 1,334 zebras.
    """
    return {
        "architecture": "cyclegan",
        "loss": {"name": "least-squares", "half": False},
        **players(optimizer="adam", lr=2e-4, betas=(0.5, 0.999), lr_decay="linear", lr_hold=0.5),
        "order": "generator-first",
        "ema": {"decay": 0.0},
        "batch_size": 1,
        "steps": 266_800,
        "samples": 8,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="cyclegan",
            summary="residual translators and patch discriminators; sides that are multiples of 4, from 16",
            paper=PAPER,
            options=ResnetOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="cyclegan",
            summary="translation between two domains, learned without pairs",
            paper=PAPER,
            options=CycleOptions,
            settings=settings,
            takes="domains",
            game=build_game,
            small={
                "data": {"name": "negatives", "paired": False, "resolution": 16},
                "architecture": {"width": 8, "blocks": 1},
                "recipe": {"history": 6},
                "batch_size": 4,
            },
        )
    ]
