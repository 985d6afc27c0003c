"""R3GAN (Huang, Gokaslan, Kuleshov and Tompkin 2024, "The GAN is dead; long live the GAN!", arXiv 2501.05441).

The relativistic pairing loss with R1 and R2, and the architecture `r3gan` (networks.py): residual blocks without
normalisation. "R3" is relativistic + R1 + R2: loss `relativistic`, regularizers `r1` and `r2`, by name.

Deviations, all in the training: γ stays at the authors' first value, where they let it fall to a tenth, and β₂
at their last, where it rises from 0.9 to 0.99; the running average has a fixed decay with a warm-up, where its
half-life grows; and there is no augmentation, which they bring in slowly (add one as a regularizer). The learning
rate falls along half a cosine as theirs does, over the whole training instead of its first 20 million images. Batches
are of 256 at every size, as theirs for FFHQ (CIFAR-10: 512). With labels they pair a real with a fake of its class;
here fakes have labels of their own.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Options, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "2501.05441"


class R3ganOptions(Options):
    """The paper's configuration E."""

    width: int = Field(768, ge=1, le=2048, description="channels of the maps up to 32×32; halved with each doubling")
    blocks: int = Field(2, ge=1, le=16, description="residual blocks at each size")
    expansion: int = Field(2, ge=1, le=8, description="how many times wider a block is inside")
    group: int = Field(16, ge=1, le=1024, description="channels in a group of the 3×3 convolutions")


def build(options: R3ganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.r3gan import networks

    return networks.build(options, built)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """The authors' configurations: Adam with 2e-4 falling to 5e-5, β = (0, 0.99), z normal of 64, γ by size."""
    return {"loss": "relativistic", **(POINTS if data.kind == "points" else _images(data))}


def _penalties(gamma: float) -> dict[str, Any]:
    """γ/2 (R1 + R2)."""
    return {"regularizers": {"r1": {"gamma": gamma}, "r2": {"gamma": gamma}}}


GAMMAS = {32: 0.05, 64: 2.0, 256: 150.0}
"""The authors' γ at the start: CIFAR-10, FFHQ-64 and FFHQ-256."""


def _images(data: DataSpec) -> dict[str, Any]:
    """Other sizes take the γ of the next size that has one."""
    fitting = [gamma for side, gamma in GAMMAS.items() if data.shape[-1] <= side]
    return {
        "architecture": "r3gan",
        "latent": {"name": "normal", "dim": 64},
        **players(optimizer="adam", lr=2e-4, betas=(0.0, 0.99), lr_decay="cosine", lr_final=0.25),
        **_penalties(min(fitting, default=GAMMAS[256])),
        "ema": {"decay": 0.9999},
        "batch_size": 256,
        "steps": 100_000,
    }


# The paper has no numbers for points: these were chosen on a ring and a grid of Gaussians, with seeds 0 to 2 and 101 to
# 104. On the grid, batches of 64 gave 79% samples of high quality, batches of 256 above 92%.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "latent": {"name": "normal", "dim": 2},
    **players(optimizer="adam", lr=1e-3, betas=(0.0, 0.99), lr_decay="linear"),
    **_penalties(0.001),
    "batch_size": 256,
    "steps": 12_000,
}


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="r3gan",
            summary="residual blocks of grouped convolutions, no normalisation; squares of 8 to 256",
            paper=PAPER,
            options=R3ganOptions,
            build=build,
            own_conditioning=frozenset({"generator", "discriminator"}),
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="r3gan",
            summary="relativistic pairing with R1 and R2, the modern baseline",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 8}, "batch_size": 8},
        )
    ]
