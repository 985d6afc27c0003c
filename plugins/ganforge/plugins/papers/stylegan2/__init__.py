"""StyleGAN2 (Karras, Laine, Aittala, Hellsten, Lehtinen and Aila 2019, arXiv 1912.04958): configuration F.

Architecture `stylegan2` (networks.py: figure 2d and 7; G sums the images of all sizes, D is residual), regularizer
`path-length` (path_length.py: equation 4), and the recipe with loss `non-saturating` and a lazy `r1`, by name.

Both penalties are lazy: every 4th step of G and every 16th of D. They are part of that step, as high as the steps they
stand for; with it, Adam's rate and moments are those of appendix B, c = k / (k + 1): rate c × 0.002, β₂ = 0.99^c.

Sample it with ψ as StyleGAN, `--truncation 0.7`, which here moves the styles of all layers unless `cutoff` says how
many. An exported file takes ψ as its input `truncation`, and its noise is a part of it.

Deviations: the penalties have no step and no batch of their own (the paths are those of the step's own samples, not of
half as many new ones). Styles are mixed as in `stylegan`. Batches are of 32 at every size, γ of R1 stays at 10 as in
the paper, and labels enter by ganforge's conditionings.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, GanforgeError, Options, Recipe, Regularizer, hookimpl

PAPER = "1912.04958"
BATCH = 32
IMAGES = 25_000_000
PATHS, R1 = 4, 16
"""Steps of G and of D between two of their penalties."""


class Stylegan2Options(Options):
    """Appendix B, configuration F."""

    width: int = Field(512, ge=1, le=1024, description="channels of the maps up to side `full`")
    full: int = Field(64, ge=4, le=1024, description="side from which on channels are halved with each doubling")
    style: int = Field(512, ge=1, le=4096, description="numbers of w")
    depth: int = Field(8, ge=1, le=32, description="layers of the mapping network")
    mixing: float = Field(0.9, ge=0, le=1, description="share of training samples with two styles")
    cutoff: int = Field(64, ge=0, le=64, description="layers, from the first, whose styles a truncation moves")


class PathLengthOptions(Options):
    """Equation 4's numbers."""

    weight: float = Field(2.0, ge=0, description="γ_pl")
    decay: float = Field(0.99, ge=0, lt=1, description="of a, the running mean of the lengths")
    every: int = Field(PATHS, ge=1, description="paid in each `every`-th step of G, `every` times as high")


def build(options: Stylegan2Options, built: Built) -> Any:
    from ganforge.plugins.papers.stylegan2 import networks

    return networks.build(options, built)


def build_path_length(options: PathLengthOptions) -> Any:
    from ganforge.plugins.papers.stylegan2 import path_length

    return path_length.PathLength(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Appendix B: Adam with 0.002 and β = (0, 0.99) before the correction for lazy penalties; γ = 10 and γ_pl = 2."""
    if data.kind != "images":
        raise GanforgeError(f"recipe 'stylegan2' makes images, not {data}; try r3gan")
    return {
        "architecture": "stylegan2",
        "loss": "non-saturating",
        "regularizers": {"r1": {"gamma": 10.0, "every": R1}, "path-length": True},
        "latent": {"name": "normal", "dim": 512},
        "generator": lazy_adam(PATHS),
        "discriminator": lazy_adam(R1),
        "ema": {"decay": 0.5 ** (BATCH / 10_000)},
        "batch_size": BATCH,
        "steps": IMAGES // BATCH,
    }


def lazy_adam(every: int) -> dict[str, Any]:
    """Adam's numbers for a penalty in each `every`-th step (appendix B, lazy regularization)."""
    share = every / (every + 1)
    return {"optimizer": "adam", "lr": 0.002 * share, "betas": (0.0, 0.99**share)}


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="stylegan2",
            summary="styles in the weights of convolutions, skip generator, residual critic; squares of 8 to 1024",
            paper=PAPER,
            options=Stylegan2Options,
            build=build,
        )
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="path-length",
            summary="a step in the style changes the image equally much everywhere",
            paper=PAPER,
            options=PathLengthOptions,
            build=build_path_length,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="stylegan2",
            summary="weight demodulation, path length and R1 paid lazily, no growing",
            paper=PAPER,
            settings=settings,
            small={
                "architecture": {"width": 8, "style": 8, "depth": 2},
                "latent": {"dim": 8},
                "batch_size": 8,
                "ema": {"decay": 0.99},
            },
        )
    ]
