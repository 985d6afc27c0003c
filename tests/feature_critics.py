"""Critics of points that give features, for tests of what reads them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganforge.core.game import Critique


class FeatureCritic(nn.Module):
    """Points [N, 2] to a hidden layer, and to logits [N] or [N, k] by one last linear layer."""

    def __init__(self, width: int = 8, logits: int = 1, maps: tuple[int, ...] = ()) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.logits, self.maps = logits, maps
        self.first, self.last = nn.Linear(2, width), nn.Linear(width, logits)
        self.seen: list[Any] = []
        self.stage = 0

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        self.seen.append(labels)
        hidden = torch.tanh(self.first(x))
        logits = self.last(hidden)
        features = hidden.unflatten(1, self.maps) if self.maps else hidden
        return Critique(logits.flatten() if self.logits == 1 else logits, features, {"own": hidden})

    def configure(self, stage: int) -> None:
        self.stage = stage
