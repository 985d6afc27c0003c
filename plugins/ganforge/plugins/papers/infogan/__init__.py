"""InfoGAN (Chen et al. 2016, arXiv 1606.03657): codes beside the noise, which the samples must not hide.

Regularizer `mutual-information` (information.py): a network Q guesses the codes from D's features, and both players
want it right. Recipe `infogan`. What the codes came to mean: `ganforge sample RUN --sweep -o FOLDER`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import DataSpec, Options, Recipe, Regularizer, hookimpl

PAPER = "1606.03657"


class InformationOptions(Options):
    """λ of equation 6 for each kind of code, and Q."""

    categorical_weight: float = Field(1.0, ge=0, description="λ of the categorical codes")
    continuous_weight: float = Field(1.0, ge=0, description="λ of the continuous codes")
    variance: Literal["unit", "learned"] = Field(
        "unit", description="of Q's Gaussian over the continuous codes; learned: Q says it for each sample"
    )
    hidden: int = Field(128, ge=1, le=65536, description="units of Q's hidden layer on D's features")


def build(options: InformationOptions) -> Any:
    from ganforge.plugins.papers.infogan import information

    return information.MutualInformation(options)


ADAM: dict[str, Any] = {"optimizer": "adam", "betas": (0.5, 0.999)}
COMMON: dict[str, Any] = {
    "loss": "non-saturating",
    "regularizers": {"mutual-information": {}},
    "discriminator": {**ADAM, "lr": 2e-4},
    "generator": {**ADAM, "lr": 1e-3},
    "batch_size": 128,
}

# Appendix C.1, MNIST; the authors' code plays 50 times 100 rounds.
IMAGES: dict[str, Any] = {
    "architecture": "dcgan",
    "latent": {"name": "uniform", "dim": 62, "categorical": (10,), "continuous": 2},
    "steps": 5_000,
}

# The paper has no points: a category for each mode of the ring.
POINTS: dict[str, Any] = {
    "architecture": "mlp",
    "latent": {"name": "normal", "dim": 2, "categorical": (8,)},
    "steps": 10_000,
}


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Appendix C: Adam with β₁ 0.5 at 2e-4 for D and 1e-3 for G, λ = 1; 62 noise numbers, a code of ten categories
    and two on [-1, 1].

    The networks are DCGAN's at every size, where the paper's for MNIST have two convolutions and a linear layer of
    1024. How the noise is distributed is from the authors' code.
    """
    return {**COMMON, **(POINTS if data.kind == "points" else IMAGES)}


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="mutual-information",
            summary="both players want the latent's codes to be read off the samples",
            paper=PAPER,
            options=InformationOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="infogan",
            summary="codes that stand for something, found without labels",
            paper=PAPER,
            settings=settings,
            small={
                "architecture": {"width": 8},
                "latent": {"dim": 8},
                "regularizers": {"mutual-information": {"hidden": 8}},
                "batch_size": 8,
            },
        )
    ]
