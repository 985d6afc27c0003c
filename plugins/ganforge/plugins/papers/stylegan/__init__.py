"""StyleGAN (Karras, Laine and Aila 2018, arXiv 1812.04948): z becomes a style, which every layer of G is told.

Architecture `stylegan` (networks.py: figure 1b and appendix C) with the loss `non-saturating`, `r1` and, unless
`--set recipe.growing=false`, `progressive-growing`, by name.

Sample it with ψ, `ganforge sample RUN_OR_FILE --truncation 0.7` (appendix B; the paper's figures have 0.7): styles of
the first `cutoff` layers are drawn towards the mean style. An exported file takes ψ as its input `truncation`. Its
noise is fixed, a part of the file, as in the authors' code when it does not draw noise anew.

Deviations: the style that is mixed in is another sample's of the batch, for each sample on its own, where the paper
maps a second z (and the authors' code decides for the whole batch). Batches are of 32 and the rate is 1e-3 at every
size; the authors have larger batches below 64×64 and higher rates above. The constant starts as N(0, 1), as
StyleGAN2's does: one of equal numbers has no variance for the first instance norm to divide by, only rounding. Labels
enter by ganforge's conditionings; with `concat` the label's code is mapped with z.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, GanforgeError, Options, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1812.04948"
BATCH = 32
IMAGES = 25_000_000


class StyleganOptions(Options):
    """Appendix C."""

    width: int = Field(512, ge=1, le=1024, description="channels of the maps up to side `full`")
    full: int = Field(32, ge=4, le=1024, description="side from which on channels are halved with each doubling")
    style: int = Field(512, ge=1, le=4096, description="numbers of w")
    depth: int = Field(8, ge=1, le=32, description="layers of the mapping network")
    mixing: float = Field(0.9, ge=0, le=1, description="share of training samples with two styles")
    cutoff: int = Field(8, ge=0, le=64, description="layers, from the first, whose styles a truncation moves")


class StyleganSchedule(Options):
    """How it grows."""

    growing: bool = Field(True, description="grow from 8×8; false: train at full size from the start")
    phase: int = Field(600_000, ge=1, description="real images for which a size stays, or fades in")


def build(options: StyleganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.stylegan import networks

    return networks.build(options, built)


def settings(options: StyleganSchedule, data: DataSpec) -> dict[str, Any]:
    """Appendix C: Adam with 1e-3 and β = (0, 0.99), R1 with γ = 10, z of 512, 25 million images; EMA halves in 10,000.

    The schedule is that of the authors' code: 8×8 for 600,000 images, 600,000 for each fade, 600,000 at each size.
    """
    if data.kind != "images":
        raise GanforgeError(f"recipe 'stylegan' makes images, not {data}; try r3gan")
    growing = {"progressive-growing": {"start": 8, "stable": options.phase, "fade": options.phase}}
    return {
        "architecture": "stylegan",
        "loss": "non-saturating",
        "regularizers": {**(growing if options.growing else {}), "r1": {"gamma": 10.0}},
        "latent": {"name": "normal", "dim": 512},
        **players(optimizer="adam", lr=1e-3, betas=(0.0, 0.99)),
        "ema": {"decay": 0.5 ** (BATCH / 10_000)},
        "batch_size": BATCH,
        "steps": IMAGES // BATCH,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="stylegan",
            summary="a mapping network, styles by instance norm, noise; can grow; squares of 8 to 1024",
            paper=PAPER,
            options=StyleganOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="stylegan",
            summary="a style for every layer, noise, truncation; growing or not",
            paper=PAPER,
            options=StyleganSchedule,
            settings=settings,
            small={
                "architecture": {"width": 8, "style": 8, "depth": 2},
                "latent": {"dim": 8},
                "batch_size": 8,
                "recipe": {"phase": 12},
                "ema": {"decay": 0.99},
            },
        )
    ]
