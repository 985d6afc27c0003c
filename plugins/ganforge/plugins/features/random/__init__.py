"""Features of a network nobody trained: to see that an evaluation runs, not to judge anything."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Data, FeatureExtractor, Options, hookimpl


class RandomOptions(Options):
    """The network."""

    dim: int = Field(64, ge=1, le=4096, description="features")
    seed: int = Field(0, ge=0)


def build(options: RandomOptions, training: Data) -> Any:
    from ganforge.plugins.features.random import network

    return network.RandomFeatures(options, training.spec.shape[0])


@hookimpl
def ganforge_feature_extractors() -> list[FeatureExtractor[Any]]:
    return [
        FeatureExtractor(
            name="random-smoke-test",
            summary="random convolutions: says whether an evaluation runs, and nothing about pictures",
            options=RandomOptions,
            build=build,
        )
    ]
