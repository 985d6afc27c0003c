"""Feature matching (Salimans et al. 2016, arXiv 1606.03498, section 3.1).

The generator matches the mean of the discriminator's features on real data, in place of beating the discriminator.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class FeatureMatchingOptions(Options):
    """Whether it is the generator's whole objective, as in the paper, or a part of it."""

    added: bool = Field(False, description="add it to the generator's loss instead of putting it in its place")
    weight: float = Field(1.0, gt=0, description="of the squared distance; matters to Adam only where it is added")


def build(options: FeatureMatchingOptions) -> Any:
    from ganforge.plugins.tricks.feature_matching import penalty

    return penalty.FeatureMatching(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="feature-matching",
            summary="the generator matches the mean of the discriminator's features",
            paper="1606.03498",
            options=FeatureMatchingOptions,
            build=build,
        )
    ]
