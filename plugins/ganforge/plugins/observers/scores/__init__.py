"""Scores during the training, in the records as `score/NAME`, and the best checkpoint as a run of its own: RUN/best.

Samples are of the averaged generator, real ones of the held-out split; the names are `ganforge evaluate`'s.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Observer, Options, RunObserver, hookimpl


class ScoresOptions(Options):
    """When and how the generator is scored."""

    every: int = Field(500, ge=1, description="rounds between two evaluations; there is one at the end")
    metrics: tuple[str, ...] = Field((), description="names; by default as in ganforge evaluate")
    features: str = Field("", description="the feature extractor; by default as in ganforge evaluate")
    samples: int = Field(1000, ge=2, description="how many are judged: the score's name tells it")
    best: str = Field("", description="figure whose best checkpoint is kept, as in kid; by default the first")


def build(options: ScoresOptions) -> RunObserver:
    from ganforge.plugins.observers.scores.observer import Scores

    return Scores(options)


@hookimpl
def ganforge_observers() -> list[Observer[Any]]:
    return [
        Observer(
            name="scores",
            summary="scores during the training, and its best checkpoint in RUN/best",
            options=ScoresOptions,
            build=build,
        )
    ]
