"""AC-GAN (Odena, Olah and Shlens 2016, arXiv 1610.09585): D also names the class, and both players want it right.

The mechanism is the conditioning `auxiliary-classifier`, which brings its class loss along; here is the recipe.
"""

from __future__ import annotations

from typing import Any

from ganforge.core import DataSpec, Options, Recipe, hookimpl

ADAM = {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999)}


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Appendix A: Adam 2e-4 with β₁ 0.5, batches of 100, dropout 0.5 and LeakyReLU 0.2 in D.

    z has 100 numbers, with ten classes 110 in all. The networks are DCGAN's, near to the paper's at 32×32 but with
    fewer layers in D, where the paper has six of 3×3, every second at stride 1. How z is distributed the paper does
    not say: uniform, as in DCGAN. Its noise on activations is left out; `instance-noise` is noise on images alone.
    """
    return {
        "architecture": "dcgan",
        "loss": "non-saturating",
        "regularizers": {"dropout": {"rate": 0.5, "networks": "discriminator"}},
        "latent": {"name": "uniform", "dim": 100},
        "generator": {**ADAM, "conditioning": "concat"},
        "discriminator": {**ADAM, "conditioning": "auxiliary-classifier"},
        "batch_size": 100,
        "steps": 50_000,
    }


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="acgan",
            summary="conditional GAN whose discriminator also classifies",
            paper="1610.09585",
            settings=settings,
            small={"architecture": {"width": 8}, "latent": {"dim": 8}, "batch_size": 8},
        )
    ]
