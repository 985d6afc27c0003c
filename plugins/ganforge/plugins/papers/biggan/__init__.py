"""BigGAN (Brock, Donahue and Simonyan 2018, arXiv 1809.11096): what large batches and wide networks need.

Architecture `biggan` (networks.py): residual blocks with self-attention, a piece of z and a shared embedding of the
class in every block's norms, orthogonal initialisation. The recipe has loss `hinge`, `spectral-norm` in both
networks and `orthogonal-regularization` in G. D knows the class by `projection`. Without classes G's norms see
their pieces of z alone.

Sample it with a threshold on z, `ganforge sample RUN_OR_FILE --truncation 0.5` (section 3.1): values of z beyond the
threshold are drawn again, exactly, before the network or the exported file gets them, so both give the same picture.

Deviations: the batch of 2048 is computed in eight pieces, each with batch statistics of its own (the authors have
them of the whole batch), and the statistics for sampling are running averages instead of those of extra passes.
The running average of G starts with a smaller decay. The projection's embedding starts as Glorot's. The paper has
sizes from 128 on; 32 and 64 are from the authors' PyTorch code, and 16 is made from 32.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, GanforgeError, Options, Recipe, hookimpl

PAPER = "1809.11096"
ATTENTION = 64
"""Side of the maps that attend, for images of 128 and more."""
PIECE = 20
"""Numbers of z in each of its pieces: 120 in all for images of 128 (appendix B)."""


class BigganOptions(Options):
    """Appendix B."""

    width: int = Field(96, ge=1, le=512, description="ch: the maps have 1 to 16 times as many channels")
    attention: int = Field(ATTENTION, ge=0, description="side of the maps that attend, in both networks; 0: none")
    embedding: int = Field(128, ge=1, le=4096, description="numbers that are learned for each class, for all norms")


def build(options: BigganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.biggan import networks

    return networks.build(options, built)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Appendix C: Adam with β₁ = 0, β₂ = 0.999, 5e-5 for G and 2e-4 for D, two steps of D, batch 2048, EMA 0.9999.

    Images smaller than the paper's attend at half their side.
    """
    if data.kind != "images":
        raise GanforgeError(f"recipe 'biggan' attends over the places of images, not {data}; try sngan")
    adam = {"optimizer": "adam", "betas": (0.0, 0.999)}
    side = data.shape[-1]
    return {
        "architecture": {"name": "biggan", "attention": min(ATTENTION, side // 2)},
        "loss": "hinge",
        "regularizers": {"spectral-norm": {"networks": "both"}, "orthogonal-regularization": True},
        "latent": {"name": "normal", "dim": PIECE * (side.bit_length() - 2)},
        "generator": {**adam, "lr": 5e-5, "conditioning": "own" if data.classes else "none"},
        "discriminator": {**adam, "lr": 2e-4, "moves": 2, "conditioning": "projection" if data.classes else "none"},
        "ema": {"decay": 0.9999},
        "batch_size": 2048,
        "accumulate": 8,
        "steps": 150_000,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="biggan",
            summary="residual blocks whose norms see z and the class, self-attention; squares of 16 to 256",
            paper=PAPER,
            options=BigganOptions,
            build=build,
            own_conditioning=frozenset({"generator"}),
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="biggan",
            summary="wide, class-conditional, large batches; z enters every block",
            paper=PAPER,
            settings=settings,
            small={
                "architecture": {"width": 2, "embedding": 4},
                "latent": {"dim": 12},
                "batch_size": 8,
                "accumulate": 1,
                "generator": {"lr": 1e-3},
                "discriminator": {"lr": 1e-3},
                "ema": {"decay": 0.99},
            },
        )
    ]
