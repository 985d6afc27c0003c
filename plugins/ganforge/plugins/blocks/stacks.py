"""Pictures stacked along the channels, as a critic of pairs sees them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

COLOUR = 3
"""Channels of one picture, where nobody has said how many."""


def each_picture(change: Callable[[Tensor], Tensor], images: Tensor, channels: int) -> Tensor:
    """Images [N, k · channels, H, W] with `change` made to each of the k pictures by itself."""
    return torch.cat([change(picture) for picture in images.split(channels, dim=1)], dim=1)
