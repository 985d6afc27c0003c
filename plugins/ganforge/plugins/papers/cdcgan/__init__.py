"""Conditional DCGAN: the conditional game (Mirza and Osindero 2014, arXiv 1411.1784) in DCGAN's networks (1511.06434).

No paper of its own: the combination everybody means by the name. One-hot labels stand beside z, and as maps beside
the image's channels; `--conditioning embedding` learns the numbers in place of them.
"""

from __future__ import annotations

from typing import Any

from ganforge.core import DataSpec, Options, Recipe, hookimpl

ADAM = {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999), "conditioning": "concat"}


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """DCGAN's numbers (its section 4): Adam 2e-4 with β₁ 0.5, batches of 128, z uniform of 100."""
    return {
        "architecture": "dcgan",
        "loss": "non-saturating",
        "latent": {"name": "uniform", "dim": 100},
        "generator": ADAM,
        "discriminator": ADAM,
        "batch_size": 128,
        "steps": 20_000,
    }


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="cdcgan",
            summary="conditional DCGAN",
            paper="1411.1784",
            settings=settings,
            small={"architecture": {"width": 8}, "latent": {"dim": 8}, "batch_size": 8},
        )
    ]
