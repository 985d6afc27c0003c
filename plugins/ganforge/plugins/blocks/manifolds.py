"""Balls around samples that reach to their k-th neighbour, and what lies in them; as the package `prdc` of Naeem et al.

(arXiv 2002.09797) counts: a ball's rim is not in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.plugins.blocks.distances import distances_by_rows, radii


def prdc(real: Tensor, generated: Tensor, k: int) -> dict[str, float]:
    """Of float64 [n, dim] and [m, dim], with more than k in each.

    Returns:
        precision: the share of generated samples in the ball of a real one; recall: of real samples in the ball of
        a generated one; density: in how many real samples' balls a generated one is, on average, over k; coverage: the
        share of real samples with a generated one in their ball. All but density, which can be above 1, in [0, 1].
    """
    real_radius, generated_radius = radii(real, k), radii(generated, k)
    precise = torch.zeros(len(generated), dtype=torch.bool)
    inside = recalled = covered = 0
    for rows, distances in distances_by_rows(real, generated):
        near_real = distances < real_radius[rows, None]
        precise |= near_real.any(dim=0)
        inside += int(near_real.sum())
        covered += int(near_real.any(dim=1).sum())
        recalled += int((distances < generated_radius).any(dim=1).sum())
    return {
        "precision": int(precise.sum()) / len(generated),
        "recall": recalled / len(real),
        "density": inside / (k * len(generated)),
        "coverage": covered / len(real),
    }
