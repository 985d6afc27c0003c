"""cGANs with a projection discriminator (Miyato and Koyama 2018, arXiv 1802.05637).

The mechanism is the conditionings `conditional-batch-norm` (G) and `projection` (D); here is the recipe.
"""

from __future__ import annotations

from typing import Any

from ganforge.core import DataSpec, Options, Recipe, hookimpl

ITERATIONS, DECAYING = 450_000, 50_000

ADAM: dict[str, Any] = {
    "optimizer": "adam",
    "lr": 2e-4,
    "betas": (0.0, 0.9),
    "lr_decay": "linear",
    "lr_hold": 1 - DECAYING / ITERATIONS,
}


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 4: hinge, spectral norm on all of D, Adam with α = 2e-4, β₁ = 0, β₂ = 0.9, five steps of D to one of G;
    the rate falls to 0 over the last ninth of the training.

    The paper's images are 128×128. The networks here are SNGAN's residual ones for 32×32, as in the authors' code for
    CIFAR-10, and their width at other sizes; 50,000 rounds and batches of 64 are that code's too. There, G's batches
    are twice as large, G's last batch norm is not conditional, and the rate falls from the first round on.
    """
    return {
        "architecture": "sn-resnet",
        "loss": "hinge",
        "regularizers": {"spectral-norm": {"iterations": 1, "networks": "discriminator"}},
        "latent": {"name": "normal", "dim": 128},
        "generator": {**ADAM, "conditioning": "conditional-batch-norm"},
        "discriminator": {**ADAM, "moves": 5, "conditioning": "projection"},
        "batch_size": 64,
        "steps": 50_000,
    }


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="projection-gan",
            summary="residual networks, conditional batch norm, projection discriminator",
            paper="1802.05637",
            settings=settings,
            small={
                "architecture": {"generator_width": 8, "discriminator_width": 8},
                "latent": {"dim": 8},
                "batch_size": 8,
            },
        )
    ]
