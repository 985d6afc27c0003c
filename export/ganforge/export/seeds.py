"""Latents inside the graph: `ganforge.core.latents.Latent.from_seeds` in torch, number for number.

The hash is core's own functions, which take tensors as they take arrays. What follows it is float64 as in numpy, so
that a latent's float32 numbers are numpy's but for an odd last bit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganforge.core.latents import CODES, REDRAWS, Latent, keys, words

Keys = tuple[Tensor, Tensor]


class FromSeeds(nn.Module):
    """Picture seeds int64 [N, 1] and, where it can be truncated, thresholds float32 [N, 1] to latents [N, width]."""

    turn: Tensor

    def __init__(self, latent: Latent) -> None:
        super().__init__()
        self.latent = latent
        # A buffer, because the exporter rounds a Python float to float32.
        self.register_buffer("turn", torch.tensor(2 * math.pi, dtype=torch.float64))

    def forward(self, seed: Tensor, truncation: Tensor | None = None) -> Tensor:
        drawn = keys(seed)
        return torch.cat([self._z(drawn, truncation), *self._codes(drawn)], dim=1).float()

    def _z(self, drawn: Keys, truncation: Tensor | None) -> Tensor:
        dim = self.latent.dim
        if truncation is None:
            z = self._normals(drawn, 0)[:, :dim]
            return z * torch.sqrt(dim / (z**2).sum(dim=1, keepdim=True))
        if self.latent.name == "uniform":
            return (2 * uniforms(drawn, dim, 0) - 1) * truncation.double().clamp(max=1)
        return self._bounded_normals(drawn, truncation.double())[:, :dim]

    def _bounded_normals(self, drawn: Keys, bound: Tensor) -> Tensor:
        """Draw again what is outside, as numpy does: rows that are inside stay, so a row sees no neighbour."""

        def outside(stream: Tensor, z: Tensor) -> Tensor:
            return (z.abs() > bound).any() & (stream < REDRAWS)

        def redraw(stream: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            return stream + 1, torch.where(z.abs() > bound, self._normals(drawn, stream), z)

        first = torch.ones((), dtype=torch.int64)
        _, z = torch.while_loop(outside, redraw, (first, self._normals(drawn, 0)))
        return torch.minimum(torch.maximum(z, -bound), bound)

    def _normals(self, drawn: Keys, stream: Tensor | int) -> Tensor:
        """Box-Muller's numbers in pairs: one more than `dim` where that is odd."""
        dim = self.latent.dim
        u = _words(drawn, dim + dim % 2, stream)
        # Half a step is added to the words and not 2^-33 to the quotient: the exporter drops so small a number.
        radius = torch.sqrt(-2 * torch.log((u[:, ::2] + 0.5) / 2.0**32))
        angle = self.turn * (u[:, 1::2] / 2.0**32)
        return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=2).flatten(1)

    def _codes(self, drawn: Keys) -> list[Tensor]:
        kinds = self.latent.categorical
        if not self.latent.codes:
            return []
        u = uniforms(drawn, len(kinds) + self.latent.continuous, CODES)
        hot = [one_hot((u[:, i] * k).long().clamp(max=k - 1), k).double() for i, k in enumerate(kinds)]
        return [*hot, 2 * u[:, len(kinds) :] - 1]


def uniforms(drawn: Keys, dim: int, stream: int) -> Tensor:
    """Numbers in [0, 1): float64 [N, dim]."""
    return _words(drawn, dim, stream) / 2.0**32


def _words(drawn: Keys, dim: int, stream: Tensor | int) -> Tensor:
    position = torch.arange(dim)[None, :]
    found: Tensor = words(*drawn, position, stream)
    return found.double()
