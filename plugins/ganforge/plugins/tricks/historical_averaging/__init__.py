"""Historical averaging (Salimans et al. 2016, arXiv 1606.03498, section 3.3).

A player stays near the mean of all its past parameters, so that the players cannot circle around each other.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class HistoricalAveragingOptions(Options):
    """Whose parameters, and how strongly."""

    networks: Literal["both", "discriminator", "generator"] = Field("both", description="which players pay")
    # The paper's formula has no weight. With 1 the generator hardly moved in 4,000 rounds on the ring (two seeds: 0
    # and 1% of high quality); with 0.01 it learned (71 and 72%).
    weight: float = Field(0.01, ge=0, description="of the squared distance; the paper's formula has none")


def build(options: HistoricalAveragingOptions) -> Any:
    from ganforge.plugins.tricks.historical_averaging import penalty

    return penalty.HistoricalAveraging(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="historical-averaging",
            summary="parameters stay near the mean of their past",
            paper="1606.03498",
            options=HistoricalAveragingOptions,
            build=build,
        )
    ]
