"""A small classifier of the data at hand, trained once on its training split and kept.

For data unlike photographs, and for asking whether conditional samples show their class. Its accuracy on a part of
the training split it was not trained on is in every score's provenance.
"""

from __future__ import annotations

from typing import Any

from ganforge.core import Data, FeatureExtractor, GanforgeError, hookimpl
from ganforge.plugins.blocks.settings import ClassifierOptions


def build(options: ClassifierOptions, training: Data) -> Any:
    from ganforge.plugins.blocks.classifier import classifier_of

    if not training.spec.classes:
        raise GanforgeError("extractor 'classifier' needs labelled data, and this has no classes")
    return classifier_of(training, options)


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
