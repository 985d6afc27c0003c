"""Orthogonal regularization: a layer's filters are kept apart from each other.

`off-diagonal` is BigGAN's form (Brock, Donahue and Simonyan 2018, arXiv 1809.11096, equation 3), which leaves the
filters' lengths alone; `direct` also keeps them at 1 (Brock et al. 2016, arXiv 1609.07093).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class OrthogonalOptions(Options):
    """Section 3.1's number, and which form."""

    form: Literal["off-diagonal", "direct"] = Field(
        "off-diagonal", description="‖WᵀW ⊙ (1 - I)‖²: filters at right angles; or ‖WᵀW - I‖²: of length 1 as well"
    )
    weight: float = Field(1e-4, ge=0, description="β, of the sum over all layers")
    networks: Literal["generator", "discriminator", "both"] = Field(
        "generator", description="whose linear and convolutional weights"
    )


def build(options: OrthogonalOptions) -> Any:
    from ganforge.plugins.tricks.orthogonal_regularization import penalty

    return penalty.OrthogonalRegularization(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="orthogonal-regularization",
            summary="a layer's filters at right angles to each other",
            paper="1809.11096",
            options=OrthogonalOptions,
            build=build,
        )
    ]
