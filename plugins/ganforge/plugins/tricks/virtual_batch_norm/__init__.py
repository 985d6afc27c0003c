"""Virtual batch normalisation (Salimans et al. 2016, arXiv 1606.03498, section 3.5).

Each sample is normalised by the statistics of a reference batch, chosen once, and of itself: what the generator
makes of a latent does not depend on the others in its batch.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class VirtualBatchNormOptions(Options):
    """How large the reference batch is."""

    reference: int = Field(64, ge=2, le=4096, description="latents in the reference batch")


def build(options: VirtualBatchNormOptions) -> Any:
    from ganforge.plugins.tricks.virtual_batch_norm import norm

    return norm.VirtualBatchNormalisation(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="virtual-batch-norm",
            summary="the generator's batch norm takes its statistics from a fixed reference batch",
            paper="1606.03498",
            options=VirtualBatchNormOptions,
            build=build,
        )
    ]
