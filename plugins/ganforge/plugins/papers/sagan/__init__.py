"""SAGAN (Zhang, Goodfellow, Metaxas and Odena 2018, arXiv 1805.08318): self-attention in both networks.

Architecture `sagan` (networks.py): residual blocks, with self-attention (blocks/attention.py) at one size. The
recipe has loss `hinge`, `spectral-norm` in both networks, and learning rates of their own for the players (TTUR).
With labelled data it is class-conditional as the paper's: conditional batch norm in G, projection in D.

Deviations: the last batch norm of G is conditional as well. The spectral norms move after a player's own update,
as in every recipe here. The paper has images of 128×128 only: other sizes are BigGAN's.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, GanforgeError, Options, Recipe, hookimpl

PAPER = "1805.08318"
ATTENTION = 32
"""The side with the best FID in table 1."""


class SaganOptions(Options):
    """The authors' code."""

    width: int = Field(64, ge=1, le=512, description="the maps have 1 to 16 times as many channels")
    attention: int = Field(ATTENTION, ge=0, description="side of the maps that attend, in both networks; 0: none")


def build(options: SaganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.sagan import networks

    return networks.build(options, built)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4: Adam with β₁ = 0, β₂ = 0.9, 1e-4 for G and 4e-4 for D, one step each; z normal of 128, batch 256.

    Images smaller than the paper's attend at half their side.
    """
    if data.kind != "images":
        raise GanforgeError(f"recipe 'sagan' attends over the places of images, not {data}; try sngan")
    adam = {"optimizer": "adam", "betas": (0.0, 0.9)}
    return {
        "architecture": {"name": "sagan", "attention": min(ATTENTION, data.shape[-1] // 2)},
        "loss": "hinge",
        "regularizers": {"spectral-norm": {"networks": "both"}},
        "latent": {"name": "normal", "dim": 128},
        "generator": {**adam, "lr": 1e-4, "conditioning": "conditional-batch-norm" if data.classes else "none"},
        "discriminator": {**adam, "lr": 4e-4, "conditioning": "projection" if data.classes else "none"},
        "batch_size": 256,
        "steps": 1_000_000,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="sagan",
            summary="residual blocks with self-attention; squares of 16 to 256",
            paper=PAPER,
            options=SaganOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="sagan",
            summary="self-attention and spectral norm in both networks, hinge loss",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 2}, "latent": {"dim": 8}, "batch_size": 8},
        )
    ]
