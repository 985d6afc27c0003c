"""Two random convolutions and a mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge.core.evaluation import Extractor, Features
from ganforge.plugins.blocks.weights import hash_weights
from ganforge.plugins.features.random import RandomOptions


class RandomFeatures(Extractor):
    """[N, channels, H, W] in [0, 255] to `dim` features; weights from the seed alone."""

    preprocessing = "x / 127.5 - 1"

    def __init__(self, options: RandomOptions, channels: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            first, second = nn.Conv2d(channels, 32, 3, 2, 1), nn.Conv2d(32, options.dim, 3, 2, 1)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dim, self.weights = options.dim, hash_weights(self.layers)

    def embed(self, pixels: Tensor) -> Features:
        return Features(self.layers(pixels / 127.5 - 1))
