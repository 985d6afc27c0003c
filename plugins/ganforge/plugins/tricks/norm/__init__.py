"""Another normalisation in place of batch norm, or none.

Instance norm (Ulyanov et al. 2016, arXiv 1607.08022), layer norm (Ba et al. 2016, arXiv 1607.06450) and group norm
(Wu and He 2018, arXiv 1803.08494) look at one sample at a time, so that samples of a batch do not mix.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class NormOptions(Options):
    """Which norm, and where."""

    networks: Literal["generator", "discriminator", "both"] = Field(
        "generator", description="whose batch norms are replaced"
    )
    kind: Literal["instance", "layer", "group", "none"] = Field(
        "instance", description="none adds no bias to the layers that batch norm shifted"
    )
    groups: int = Field(32, ge=1, description="of group norm; a map they do not divide has the next fewer that do")


def build(options: NormOptions) -> Any:
    from ganforge.plugins.tricks.norm import replacement

    return replacement.Norm(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="norm",
            summary="instance, layer, group or no norm in place of batch norm",
            paper="1607.08022",
            options=NormOptions,
            build=build,
        )
    ]
