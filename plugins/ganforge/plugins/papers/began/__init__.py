"""BEGAN (Berthelot, Schumm and Metz 2017, arXiv 1703.10717): the autoencoder's two errors are held in balance.

Loss `equilibrium` (losses.py: the objective of section 3.3 and the measure of 3.4.1), architecture `began`
(networks.py: figure 1) and the recipe.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Architecture, Built, DataSpec, GanforgeError, Loss, Options, Reading, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

PAPER = "1703.10717"


class EquilibriumOptions(Options):
    """The numbers of section 3.3."""

    gamma: float = Field(
        0.5, gt=0, le=1, description="γ, E L(G(z)) / E L(x) in equilibrium: lower is less varied (paper: 0.3 to 0.7)"
    )
    rate: float = Field(1e-3, gt=0, le=1, description="λ_k, how fast k moves")


class BeganOptions(Options):
    """Figure 1's sizes."""

    width: int = Field(64, ge=1, le=1024, description="n, channels; the encoder adds n at each halving")
    code: int = Field(64, ge=1, le=4096, description="N_h, numbers of the autoencoder's code")


def build_networks(options: BeganOptions, built: Built) -> Any:
    from ganforge.plugins.papers.began import networks

    return networks.build(options, built)


def build_loss(options: EquilibriumOptions) -> Any:
    from ganforge.plugins.papers.began import losses

    return losses.Equilibrium(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4.1 for images of 64×64 and up: Adam with 1e-4, batches of 16, z and the code of 64 numbers.

    Smaller images get as many numbers as they have rows, and what drew digits of 16×16 in 400 rounds: with γ of
    0.5 and 0.7 only the thinnest were drawn, which are the easiest to reconstruct.
    """
    if data.kind != "images":
        raise GanforgeError(f"recipe 'began' makes images, not {data}; recipe 'ebgan' makes both")
    side = min(data.shape[-2:])
    if side >= 64:
        return IMAGES
    return {
        **SMALL_IMAGES,
        "architecture": {"name": "began", "width": 32, "code": side},
        "latent": {"name": "uniform", "dim": side},
    }


# The authors halve the rate whenever the convergence measure stalls; here it falls steadily, to an eighth. They name no
# β: 0.5 is the other recipes', where Adam's own default is 0.9.
ADAM: dict[str, Any] = {"optimizer": "adam", "betas": (0.5, 0.999), "lr_decay": "exponential", "lr_final": 0.125}
IMAGES: dict[str, Any] = {
    "architecture": {"name": "began", "width": 64, "code": 64},
    "loss": {"name": "equilibrium", "gamma": 0.5, "rate": 1e-3},
    "latent": {"name": "uniform", "dim": 64},
    **players(**ADAM, lr=1e-4),
    "batch_size": 16,
    "steps": 200_000,
}
SMALL_IMAGES: dict[str, Any] = {
    "loss": {"name": "equilibrium", "gamma": 1.0, "rate": 0.05},
    **players(**ADAM, lr=1e-3),
    "batch_size": 64,
    "steps": 20_000,
}


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="began",
            summary="discriminator an autoencoder, generator its decoder; squares of 16 to 256, and 28",
            paper=PAPER,
            options=BeganOptions,
            build=build_networks,
        )
    ]


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [
        Loss(
            name="equilibrium",
            summary="reconstruct reals well and fakes badly, in a fixed proportion",
            paper=PAPER,
            options=EquilibriumOptions,
            build=build_loss,
            reading=Reading("reconstruction error"),
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="began",
            summary="boundary equilibrium GAN: D is an autoencoder",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 4, "code": 8}, "latent": {"dim": 8}, "batch_size": 8},
        )
    ]
