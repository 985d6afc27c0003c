"""What experts watch while a GAN trains, measured beside it and written into the records; `alarms` judges it.

Every figure is of the same real samples and latents throughout, so that its course means something. What each means
is in `figures.py`; several processes measure nothing here, because a network may couple them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Observer, Options, RunObserver, hookimpl


class HealthOptions(Options):
    """When, and from how many samples."""

    every: int = Field(100, ge=1, description="rounds between two measurements, each at the next record")
    images: int = Field(128, ge=8, description="of each kind (real, held out, generated), in whole batches")
    points: int = Field(512, ge=8, description="the same, where the data is points")


def build(options: HealthOptions) -> RunObserver:
    from ganforge.plugins.observers.health.observer import Health

    return Health(options)


@hookimpl
def ganforge_observers() -> list[Observer[Any]]:
    return [
        Observer(
            name="health",
            summary="held-out opinion, overfitting, variety, coverage, singular values: what alarms judge",
            options=HealthOptions,
            build=build,
        )
    ]
