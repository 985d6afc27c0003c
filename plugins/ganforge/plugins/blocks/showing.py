"""Real samples for the pictures of a run: always the same."""

from __future__ import annotations

import numpy as np
import torch

from ganforge.core.data import Data
from ganforge.core.draw import Batch


def first_images(data: Data, n: int, device: torch.device) -> Batch:
    """The first `n` images of a data set as networks see them, from its start again where it has fewer."""
    pixels, labels = data.fetch(np.arange(n) % len(data))
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).float().div(127.5).sub(1)
    return Batch(x, None if labels is None else torch.from_numpy(labels).to(device))
