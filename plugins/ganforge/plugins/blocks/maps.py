"""Layers that are linear maps, and which axis of their weight is the outputs'."""

from __future__ import annotations

from torch import nn

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
WEIGHTED = (*MAPS, nn.Embedding)
"""Maps, and embeddings, which are maps of one-hot labels."""


def output_axis(layer: nn.Module) -> int:
    """1 for a transposed convolution, whose weight is inputs × outputs × kernel; 0 for every other layer."""
    return 1 if isinstance(layer, _TRANSPOSED) else 0
