"""The estimate of Bińkowski et al. (arXiv 1801.01401, section 4): torchmetrics' kernel, in float64, on seeded subsets.

torchmetrics' own metric draws subsets from the global generator, and computes in the features' float32: between nearly
equal distributions it was off by a thousandth (benchmarks/agreement.py). And it computes the kernel anew for each
subset, where subsets have most pairs of samples in common.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganforge.core.draw import hash64
from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.sides import Sides
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.metrics.kernel import KernelOptions

Kernel = Callable[[Tensor, Tensor], Tensor]
"""Features [n, dim] and [m, dim] to [n, m]."""

ROWS = 512
"""Samples whose kernel with all others is held in memory at once."""


class KernelDistance:
    """From features [n, dim] of both sides to `kid` and, where there are several subsets, `kid_std`.

    The kernel is (x·y / dim + 1)³. Each subset gives the unbiased estimate of MMD²: no sample is compared with itself.
    The features of all samples are kept until then.
    """

    def __init__(self, options: KernelOptions, seed: int) -> None:
        self.options, self.seed = options, seed
        self.sides = Sides()
        self.kernel: Kernel = import_with_torchvision("torchmetrics.image.kid").poly_kernel

    def update(self, batch: Judged, real: bool) -> None:
        self.sides.update(batch, real)

    def compute(self) -> dict[str, Tensor]:
        real, generated, n = self.sides.exact(real=True), self.sides.exact(real=False), self.options.subset_size
        random = torch.Generator().manual_seed(hash64(self.seed, "kid"))
        # Subsets that are all there is of both sides are one and the same.
        subsets = 1 if len(real) == len(generated) == n else self.options.subsets
        drawn = [
            [torch.randperm(len(side), generator=random)[:n] for side in (real, generated)] for _ in range(subsets)
        ]
        a, b = (torch.stack(rows) for rows in zip(*drawn, strict=True))
        within = self._others(real, a) + self._others(generated, b)
        estimates = within / (n * (n - 1)) - 2 * subset_sums(self.kernel, real, generated, a, b) / n**2
        deviation = {"kid_std": estimates.std(unbiased=False)} if subsets > 1 else {}
        return {"kid": estimates.mean(), **deviation}

    def _others(self, x: Tensor, rows: Tensor) -> Tensor:
        """Of each subset's samples with all its others: float64 [subsets]."""
        itself = (torch.linalg.vector_norm(x, dim=1) ** 2 / x.shape[1] + 1) ** 3
        return subset_sums(self.kernel, x, x, rows, rows) - itself[rows].sum(dim=1)


def subset_sums(kernel: Kernel, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Σ k(x_i, y_j) over the pairs of each subset: float64 [subsets].

    Takes features [n, dim] and [m, dim], and the rows of each subset in them, int64 [subsets, size]. Every pair is
    computed once where subsets hold more pairs than there are.
    """
    if len(x) * len(y) > a.numel() * b.shape[1]:
        return torch.stack([kernel(x[i], y[j]).sum() for i, j in zip(a, b, strict=True)])
    left, right = (members(rows, len(side)) for rows, side in ((a, x), (b, y)))
    sums = [
        (some @ kernel(part, y) * right).sum(dim=1)
        for part, some in zip(x.split(ROWS), left.split(ROWS, dim=1), strict=True)
    ]
    return torch.stack(sums).sum(dim=0)


def members(rows: Tensor, size: int) -> Tensor:
    """Which of `size` samples are in each subset: float64 [subsets, size] of zeros and ones."""
    return torch.zeros(len(rows), size, dtype=torch.float64).scatter_(1, rows, 1.0)
