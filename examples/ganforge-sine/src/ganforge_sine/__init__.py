"""Pictures painted point by point: an architecture and a recipe for ganforge.

The generator is a function of the plane, as in SIREN (Sitzmann et al. 2020, arXiv 2006.09661), and each
latent bends its waves, as in pi-GAN (Chan et al. 2020, arXiv 2012.00926). ganforge imports this module at
every start, so it holds no more than hooks and options; what needs torch is imported in `build`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import Architecture, Built, DataSpec, Options, Recipe, hookimpl
from pydantic import Field

if TYPE_CHECKING:
    from ganforge.core.game import Networks

PAPER = "2012.00926"


class SineOptions(Options):
    """The architecture's knobs: `--set architecture.width=128`, say."""

    width: int = Field(64, ge=1, le=1024, description="values in each hidden layer of the generator")
    depth: int = Field(3, ge=1, le=16, description="hidden layers of the generator")
    frequency: float = Field(6.0, gt=0, description="of the first layer: higher is finer, and noisier")


def build(options: SineOptions, built: Built) -> Networks:
    """Both networks for images of any size."""
    from ganforge_sine import networks

    return networks.build(options, built)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """What `train sine` starts from. Other plugins' parts are called by their names; nothing is imported."""
    adam = {"optimizer": "adam", "lr": 5e-4, "betas": (0.0, 0.99)}
    return {
        "architecture": "sine",
        "loss": "non-saturating",
        "regularizers": {"r1": {"gamma": 0.3}},
        "latent": {"name": "normal", "dim": 32},
        "generator": adam,
        "discriminator": adam,
        "batch_size": 32,
        "steps": 4000,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    summary = "each pixel from its coordinates, with sines; images of any size"
    return [Architecture(name="sine", summary=summary, paper=PAPER, options=SineOptions, build=build)]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [Recipe(name="sine", summary="pictures painted point by point", paper=PAPER, settings=settings)]
