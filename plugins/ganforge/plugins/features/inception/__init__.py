"""Inception's features of 2015, of which the Fréchet Inception distance is made (Heusel et al. 2017, arXiv 1706.08500).

The network and its TensorFlow-like resizing are torch-fidelity's. Its weights are not in any package: a file of them
is named, found where torch keeps downloads, or downloaded when that is allowed, and its checksum is verified first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ganforge.core import Data, FeatureExtractor, Options, hookimpl


class InceptionOptions(Options):
    """Where the weights are, which no score tells: their checksum is verified wherever they come from."""

    weights: Path | None = Field(None, exclude=True, description="the file; else it is looked for in $TORCH_HOME")
    download: bool = Field(False, exclude=True, description="may the weights be downloaded")
    repeat_grey: bool = Field(False, description="show grey pictures in three equal channels, which no paper does")


def build(options: InceptionOptions, training: Data) -> Any:
    from ganforge.plugins.features.inception import network

    return network.build(options, training.spec)


@hookimpl
def ganforge_feature_extractors() -> list[FeatureExtractor[Any]]:
    return [
        FeatureExtractor(
            name="inception",
            summary="the Inception network of published FID, KID and IS; its weights are a file of 95 MB",
            paper="1706.08500",
            options=InceptionOptions,
            build=build,
            requires=("torch_fidelity",),
        )
    ]
