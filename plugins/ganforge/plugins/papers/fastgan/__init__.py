"""FastGAN (Liu, Zhu, Song and Elgammal 2021, arXiv 2101.04775): good pictures from a hundred, in hours.

Architecture `fastgan` (networks.py: skip-layer excitation, equation 1), regularizer `reconstruction` (decoders.py: the
discriminator learns to encode, equation 2) and the recipe, with DiffAugment. Deviations: the reconstructions are
compared pixel by pixel, where the authors' code has LPIPS, whose weights are a download; D judges the shrunk fake, not
a second, small output of G; and the hinge loss has its margin of 1 (equation 3), where the code draws one between 0.8
and 1.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, Options, Recipe, Regularizer, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "2101.04775"


class FastganOptions(Options):
    """Figures 3 and 4's sizes."""

    width: int = Field(
        64, ge=2, le=512, description="channels of maps of 128 in G and of 64 in D; smaller maps have more"
    )


class ReconstructionOptions(Options):
    """How D learns to encode."""

    weight: float = Field(1.0, ge=0, description="of the three reconstruction errors' sum in D's loss")
    width: int = Field(32, ge=1, le=512, description="channels of a decoder's maps of 128; smaller maps have more")


def build_networks(options: FastganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.fastgan import networks

    return networks.build(options, built)


def build_reconstruction(options: ReconstructionOptions) -> Any:
    from ganforge.plugins.papers.fastgan import decoders

    return decoders.Reconstruction(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4 and the authors' code: hinge, Adam 2e-4 with β1 0.5, batches of 8, z of 256; colour and translation."""
    return {
        "architecture": "fastgan",
        "loss": "hinge",
        "latent": {"name": "normal", "dim": 256},
        "regularizers": {
            "reconstruction": {},
            "spectral-norm": {"networks": "both"},
            "diffaugment": {"cutout": 0.0},
        },
        **players(optimizer="adam", lr=2e-4, betas=(0.5, 0.999)),
        "ema": {"decay": 0.999},
        "batch_size": 8,
        "steps": 50_000,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="fastgan",
            summary="small maps excite large ones, D judges at two sizes; squares of 16 to 1024",
            paper=PAPER,
            options=FastganOptions,
            build=build_networks,
        )
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="reconstruction",
            summary="real pictures can be decoded from what the discriminator makes of them",
            paper=PAPER,
            options=ReconstructionOptions,
            build=build_reconstruction,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="fastgan",
            summary="for few pictures: skip-layer excitation, a discriminator that encodes, augmentation",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 4}, "regularizers": {"reconstruction": {"width": 4}}},
        )
    ]
