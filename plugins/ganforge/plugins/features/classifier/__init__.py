"""A small classifier of the data at hand, trained once on its training split and kept.

For data unlike photographs, and for asking whether conditional samples show their class. Its accuracy on a part of
the training split it was not trained on is in every score's provenance.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Data, FeatureExtractor, Options, hookimpl


class ClassifierOptions(Options):
    """The training."""

    width: int = Field(32, ge=1, le=512, description="channels of the first layer")
    images: int = Field(180_000, ge=1, description="training pictures shown, each again and again")
    seed: int = Field(0, ge=0)


def build(options: ClassifierOptions, training: Data) -> Any:
    from ganforge.plugins.features.classifier import network

    return network.build(options, training)


@hookimpl
def ganforge_feature_extractors() -> list[FeatureExtractor[Any]]:
    return [
        FeatureExtractor(
            name="classifier",
            summary="a small network trained here on the data's own classes; its accuracy is stated",
            options=ClassifierOptions,
            build=build,
        )
    ]
