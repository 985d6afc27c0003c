"""k-means: Lloyd's iterations, from centres drawn as k-means++ draws them (Arthur and Vassilvitskii 2007)."""

from __future__ import annotations

import torch
from torch import Tensor

ITERATIONS = 100


def k_means(features: Tensor, k: int, random: torch.Generator) -> Tensor:
    """Centres float32 [k, dim] of features [n, dim], once no feature changes its cell or after so many iterations."""
    return settle(features, spread(features, k, random))


def settle(features: Tensor, centres: Tensor) -> Tensor:
    """Move centres [k, dim] to the means of their cells, again and again; one whose cell is empty stays."""
    cells = assign(features, centres)
    for _ in range(ITERATIONS):
        sums = torch.zeros_like(centres).index_add_(0, cells, features)
        counts = torch.bincount(cells, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        before, cells = cells, assign(features, centres)
        if torch.equal(before, cells):
            break
    return centres


def spread(features: Tensor, k: int, random: torch.Generator) -> Tensor:
    """`k` of the features, each drawn by its squared distance from those drawn before it."""
    chosen = [features[int(torch.randint(len(features), (), generator=random))]]
    squares = torch.full((len(features),), torch.inf)
    for _ in range(k - 1):
        squares = torch.minimum(squares, (features - chosen[-1]).square().sum(dim=1))
        # Where fewer than k differ, any will do.
        row = torch.multinomial(squares if squares.sum() > 0 else torch.ones_like(squares), 1, generator=random)
        chosen.append(features[int(row)])
    return torch.stack(chosen)


def assign(features: Tensor, centres: Tensor) -> Tensor:
    """The cell of each feature, that of the nearest centre: int64 [n]."""
    return torch.cdist(features, centres).argmin(dim=1)
