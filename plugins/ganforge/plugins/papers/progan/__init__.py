"""ProGAN (Karras, Aila, Laine and Lehtinen 2017, arXiv 1710.10196): networks that grow while they train.

Architecture `progan` (networks.py: table 2), regularizers `progressive-growing` (growing.py: section 2 and figure 2)
and `drift` (drift.py: appendix A.1), and the recipe with loss `wasserstein` and `gradient-penalty`, by name.

The schedule counts real images: 800,000 at 4×4, then 800,000 in which the next size fades in and 800,000 at it, and so
on (the authors' code: 600,000). A short training gives its own, as in `--set recipe.phase=20000`; one that ends before
its networks are grown says so. A run that is sampled or exported on its way gives the network at its stage: smaller
images, or the mix of two sizes, enlarged to the data's side by repeating pixels.

Deviations: batches are of 16 at every size, which the paper makes smaller above 128. The running average of G starts
with a smaller decay. As in the authors' code and not in the paper, Adam's moments are forgotten whenever a phase
begins, the gradient penalty is on images of the data's side, and samples are cut off at [-1, 1].
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, GanforgeError, Options, Recipe, Regularizer, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1710.10196"
BATCH = 16
PHASE = 800_000
"""Real images in each phase (appendix A.1)."""


class ProganOptions(Options):
    """Table 2."""

    width: int = Field(512, ge=1, le=1024, description="channels of the maps up to side `full`")
    full: int = Field(32, ge=4, le=1024, description="side from which on channels are halved with each doubling")


class GrowingOptions(Options):
    """The schedule, in real images."""

    start: int = Field(4, ge=4, le=1024, description="side of the images at first, a power of two")
    stable: int = Field(PHASE, ge=1, description="images for which a size stays")
    fade: int = Field(PHASE, ge=1, description="images while the next size fades in")
    reset: bool = Field(True, description="forget both optimizers' moments when a phase begins")


class DriftOptions(Options):
    """Appendix A.1's number."""

    weight: float = Field(1e-3, ge=0, description="ε")


class ScheduleOptions(Options):
    """How long the training is."""

    phase: int = Field(PHASE, ge=1, description="real images for which a size stays, or fades in")


def build(options: ProganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.progan import networks

    return networks.build(options, built)


def build_growing(options: GrowingOptions) -> Any:
    from ganforge.plugins.papers.progan import growing

    return growing.Growing(options)


def build_drift(options: DriftOptions) -> Any:
    from ganforge.plugins.papers.progan import drift

    return drift.Drift(options)


def settings(options: ScheduleOptions, data: DataSpec) -> dict[str, Any]:
    """Appendix A.1: WGAN-GP with one step of D, Adam with 1e-3, β = (0, 0.99), z on a sphere of 512, EMA of 0.999."""
    if data.kind != "images":
        raise GanforgeError(f"recipe 'progan' grows images, not {data}; try wgan-gp")
    phases = 2 * (max(data.shape[-1], 4).bit_length() - 3) + 1
    return {
        "architecture": "progan",
        "loss": "wasserstein",
        "regularizers": {
            "progressive-growing": {"stable": options.phase, "fade": options.phase},
            "gradient-penalty": {"weight": 10.0},
            "drift": True,
        },
        "latent": {"name": "sphere", "dim": 512},
        **players(optimizer="adam", lr=1e-3, betas=(0.0, 0.99)),
        "ema": {"decay": 0.999},
        "batch_size": BATCH,
        "steps": -(-phases * options.phase // BATCH),
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="progan",
            summary="convolutions with pixel norm that can grow; squares of 8 to 1024",
            paper=PAPER,
            options=ProganOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="progressive-growing",
            summary="both networks, and the real images, grow from 4×4 to full size",
            paper=PAPER,
            options=GrowingOptions,
            build=build_growing,
        ),
        Regularizer(
            name="drift",
            summary="the critic's scores of reals are held near zero",
            paper=PAPER,
            options=DriftOptions,
            build=build_drift,
        ),
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="progan",
            summary="grows from 4×4 to full size, each size fading in",
            paper=PAPER,
            options=ScheduleOptions,
            settings=settings,
            # In four rounds: 4×4, fading into 8×8, 8×8, fading into 16×16.
            small={
                "architecture": {"width": 8},
                "latent": {"dim": 8},
                "batch_size": 8,
                "regularizers": {"progressive-growing": {"stable": 4, "fade": 12}},
            },
        )
    ]
