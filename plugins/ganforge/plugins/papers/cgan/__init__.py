"""Conditional GAN (Mirza and Osindero 2014, arXiv 1411.1784): labels enter both networks beside z and x.

Architecture `cgan` (networks.py): linear layers in which labels have a hidden layer of their own; recipe `cgan`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Options, Recipe, hookimpl

PAPER = "1411.1784"


class CganOptions(Options):
    """Section 4.1's widths: hidden units over z, over the sample, over the labels, and over both together."""

    latent_units: int = Field(200, ge=1, le=65536, description="G: ReLU units over z")
    generator_label_units: int = Field(1000, ge=1, le=65536, description="G: ReLU units over the label")
    generator_joint_units: int = Field(1200, ge=1, le=65536, description="G: ReLU units over both")
    sample_units: int = Field(240, ge=1, le=65536, description="D: maxout units of 5 pieces over the sample")
    label_units: int = Field(50, ge=1, le=65536, description="D: maxout units of 5 pieces over the label")
    joint_units: int = Field(240, ge=1, le=65536, description="D: maxout units of 4 pieces over both")
    dropout: float = Field(0.5, ge=0, lt=1, description="after every hidden layer of both networks")


def build(options: CganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.cgan import networks

    return networks.build(options, built)


STEPS = 20_000
# The rate is divided by 1.00004 in each of these rounds, down to 1e-6, which they do not reach. A training of another
# length ends at the same rate.
SGD: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.5,
    "lr_decay": "exponential",
    "lr_final": 1.00004**-STEPS,
    "conditioning": "own",
}


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4.1: SGD in batches of 100, z uniform of 100.

    The paper draws z from [0, 1], which is [-1, 1] here, raises the momentum from 0.5 to 0.7, which stays 0.5, and
    chooses among snapshots by its score.
    Its G minimises log(1 - D), ours -log D, as the paper that it follows advises (arXiv 1406.2661, section 3).
    """
    return {
        "architecture": "cgan",
        "loss": "non-saturating",
        "latent": {"name": "uniform", "dim": 100},
        "generator": SGD,
        "discriminator": SGD,
        "batch_size": 100,
        "steps": STEPS,
    }


SMALL = {
    **{f"{units}_units": 16 for units in ("latent", "generator_label", "generator_joint")},
    **{f"{units}_units": 8 for units in ("sample", "label", "joint")},
}


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="cgan",
            summary="linear layers, labels in hidden layers of their own; images of any size, and points",
            paper=PAPER,
            options=CganOptions,
            build=build,
            own_conditioning=frozenset({"generator", "discriminator"}),
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="cgan",
            summary="conditional GAN with linear layers",
            paper=PAPER,
            settings=settings,
            small={"architecture": SMALL, "latent": {"dim": 8}, "batch_size": 8},
        )
    ]
