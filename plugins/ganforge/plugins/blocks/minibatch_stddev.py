"""Minibatch standard deviation (Karras et al. 2017, arXiv 1710.10196, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchStdDev(nn.Module):
    """Appends one map, how much a group of samples varies: [N, C, h, w] → [N, C + 1, h, w], or [N, F] → [N, F + 1].

    A group is `group` samples that follow each other; a batch that does not divide is cut into the largest equal
    groups that are no larger. (The authors' code groups rows N/4 apart. Rows are independent, so that is the same,
    but groups of neighbours stay within a process: two processes equal one without talking to each other.)
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        deviation = self.deviation(x).to(x.dtype)
        return torch.cat([x, deviation.view(-1, *[1] * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])], dim=1)

    def deviation(self, x: Tensor) -> Tensor:
        """Of each sample's group: the standard deviation of every value, averaged over all; float32 [N]."""
        n = len(x)
        size = max(size for size in range(1, self.group + 1) if n % size == 0)
        groups = x.float().reshape(n // size, size, -1)
        variance = groups.var(dim=1, correction=0)
        # As in the authors' code; without it the gradient of a group of equals would not be finite.
        return (variance + 1e-8).sqrt().mean(dim=1).repeat_interleave(size)
