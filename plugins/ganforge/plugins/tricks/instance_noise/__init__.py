"""Instance noise (Sønderby et al. 2016, arXiv 1610.04490; Arjovsky and Bottou 2017, arXiv 1701.04862).

Gaussian noise on all the discriminator sees, so that reals and fakes overlap.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class InstanceNoiseOptions(Options):
    """How much noise, and for how long."""

    sigma: float = Field(0.1, ge=0, description="standard deviation at the start, in units of the data")
    until: float = Field(
        1.0, gt=0, le=1, description="share of the training after which the noise, falling linearly, is gone"
    )


def build(options: InstanceNoiseOptions) -> Any:
    from ganforge.plugins.tricks.instance_noise import noise

    return noise.InstanceNoise(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="instance-noise",
            summary="noise on what the discriminator sees, annealed away",
            paper="1610.04490",
            options=InstanceNoiseOptions,
            build=build,
        )
    ]
