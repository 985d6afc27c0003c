"""DCGAN (Radford, Metz and Chintala 2015, arXiv 1511.06434): convolutions in both networks.

Deviations: kernels of 4×4, which halve and double exactly, as in the common ports; the paper's figure 1 has 5×5.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Options, Recipe, hookimpl


class DcganOptions(Options):
    """The architecture's knobs."""

    width: int = Field(128, ge=1, le=1024, description="channels of the widest maps; they double as maps halve")
    discriminator_norm: Literal["batch", "none"] = "batch"


def build(options: DcganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.dcgan import networks

    return networks.build(options, built)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4: Adam 2e-4 with beta1 0.5, batches of 128, z uniform of 100; non-saturating loss."""
    adam = {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999)}
    return {
        "architecture": "dcgan",
        "loss": "non-saturating",
        "latent": {"name": "uniform", "dim": 100},
        "generator": adam,
        "discriminator": adam,
        "batch_size": 128,
        "steps": 20_000,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="dcgan",
            summary="strided convolutions, batch norm; squares of 8 to 256, and 28",
            paper="1511.06434",
            options=DcganOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="dcgan",
            summary="deep convolutional GAN",
            paper="1511.06434",
            settings=settings,
            small={"architecture": {"width": 8}, "batch_size": 8},
        )
    ]
