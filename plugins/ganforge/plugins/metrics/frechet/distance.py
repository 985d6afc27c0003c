"""The Fréchet distance of Heusel et al. (arXiv 1706.08500, "Performance Measure"), in float64 throughout.

torchmetrics and torch-fidelity take the eigenvalues of C₁C₂, which is not symmetric. LᵀC₂L with C₁ = LLᵀ has the same
ones and is: they are real, and found in less than half the time (benchmarks/agreement.py).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganforge.core.evaluation import Judged


class Moments(NamedTuple):
    """Mean [dim] and unbiased covariance [dim, dim], float64, of so many samples."""

    mean: Tensor
    covariance: Tensor
    samples: int


def frechet(first: Moments, second: Moments) -> float:
    """‖μ₁ - μ₂‖² + Tr(C₁ + C₂ - 2 (C₁C₂)^½), at least 0."""
    root = square_root(first.covariance)
    eigenvalues = torch.linalg.eigvalsh(root.T @ second.covariance @ root)
    # The largest are the last. Where covariances are singular the others are zero but for rounding errors, whose
    # square roots would count.
    rank = min(len(eigenvalues), first.samples - 1, second.samples - 1)
    shared = eigenvalues[-rank:].clamp(min=0).sqrt().sum()
    apart = (first.mean - second.mean).square().sum()
    return max(float(apart + first.covariance.trace() + second.covariance.trace() - 2 * shared), 0.0)


def square_root(covariance: Tensor) -> Tensor:
    """Any L with C = LLᵀ: Cholesky's, or, where C is singular, one from its eigenvalues."""
    root, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return root
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()


class Sums:
    """Running sums of features: as large as a covariance, however many samples there are."""

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.sum = torch.zeros(dim, dtype=torch.float64)
        self.products = torch.zeros(dim, dim, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Take in features [n, dim]."""
        exact = features.double()
        self.count += len(exact)
        self.sum += exact.sum(dim=0)
        self.products.addmm_(exact.T, exact)

    def moments(self) -> Moments:
        mean = self.sum / self.count
        covariance = (self.products - self.count * mean.outer(mean)) / (self.count - 1)
        return Moments(mean, covariance, self.count)


class FrechetDistance:
    """From features [n, dim] of both sides to `fid`."""

    def __init__(self, dim: int) -> None:
        self.real, self.generated = Sums(dim), Sums(dim)

    def update(self, batch: Judged, real: bool) -> None:
        assert batch.features is not None
        (self.real if real else self.generated).add(batch.features)

    def compute(self) -> dict[str, float]:
        return {"fid": frechet(self.real.moments(), self.generated.moments())}
