"""The estimate of Bińkowski et al. (arXiv 1801.01401, section 4): torchmetrics' formula, in float64, on seeded subsets.

torchmetrics' own metric draws subsets from the global generator, and computes in the features' float32: between nearly
equal distributions it was off by a thousandth (benchmarks/agreement.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core.draw import hash64
from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.sides import Sides
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.metrics.kernel import KernelOptions


class KernelDistance:
    """From features [n, dim] of both sides to `kid` and `kid_std`.

    The kernel is (x·y / dim + 1)³. Each subset gives the unbiased estimate of MMD²: no sample is compared with itself.
    The features of all samples are kept until then.
    """

    def __init__(self, options: KernelOptions, seed: int) -> None:
        self.options, self.seed = options, seed
        self.sides = Sides()
        self.discrepancy = import_with_torchvision("torchmetrics.image.kid").poly_mmd

    def update(self, batch: Judged, real: bool) -> None:
        self.sides.update(batch, real)

    def compute(self) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(hash64(self.seed, "kid"))
        real, generated = self.sides.real, self.sides.generated
        estimates = torch.stack(
            [
                self.discrepancy(self._subset(real, random), self._subset(generated, random))
                for _ in range(self.options.subsets)
            ]
        )
        return {"kid": estimates.mean(), "kid_std": estimates.std(unbiased=False)}

    def _subset(self, features: Tensor, random: torch.Generator) -> Tensor:
        """Float64 [subset_size, dim], in a random order, without repetition."""
        rows = torch.randperm(len(features), generator=random)[: self.options.subset_size]
        return features[rows].double()
