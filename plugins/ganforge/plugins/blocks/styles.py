"""What the generators of StyleGAN have before and beside their maps: styles and noise (arXiv 1812.04948).

What they draw in training (noise, and which layers get another style) is drawn as dropout is, by torch's own
generator, which the loop seeds by the position. Samples are made with noise that was drawn once and is kept, so one
latent is one picture, in a file too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge.core import distributed
from ganforge.plugins.blocks.equalised import EqualLinear, PixelNorm

MAPPING_RATE = 0.01
"""Learning rate of the mapping network, as a multiple of the others' (appendix C)."""
MEMORY = 0.995
"""Of the mean of w in each of the generator's passes (the authors' code)."""


class Styles(nn.Module):
    """z [N, latent] → w [N, width] by linear layers with `activation` → one for each of the layers, [N, layers, width].

    In training a share `mixing` of the samples has, from a random layer on, the styles of another sample of the batch
    (section 3.1). `mean` is the running mean of w, towards which samples are truncated: w̄ + ψ (w - w̄) in the first
    `cutoff` layers (appendix B).
    """

    couples_batch = "noise and mixed styles: drawn by each process"
    mean: Tensor

    def __init__(
        self, latent: int, width: int, depth: int, layers: int, mixing: float, cutoff: int, activation: nn.Module
    ) -> None:
        super().__init__()
        self.layers, self.mixing, self.cutoff = layers, mixing, cutoff
        gain = 2**0.5 if isinstance(activation, nn.LeakyReLU) else 1.0
        body: list[nn.Module] = [PixelNorm()]
        for place in range(depth):
            body += [EqualLinear(latent if place == 0 else width, width, gain, MAPPING_RATE), activation]
        self.mapping = nn.Sequential(*body)
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, z: Tensor, active: int, truncation: Tensor | None = None) -> Tensor:
        """`active` of the layers are in use; `truncation` is ψ, [N, 1]."""
        w = self.mapping(z)
        styles = w[:, None].expand(-1, self.layers, -1)
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(distributed.mean(w.float()), 1 - MEMORY)
            styles = self.mixed(styles, active) if self.mixing else styles
        return styles if truncation is None else self.truncated(styles, truncation)

    def truncated(self, styles: Tensor, truncation: Tensor) -> Tensor:
        """Styles [N, layers, width], the first `cutoff` by ψ [N, 1]."""
        first = (torch.arange(self.layers, device=styles.device) < self.cutoff)[:, None]
        return torch.where(first, self.mean + truncation[:, :, None] * (styles - self.mean), styles)

    def mixed(self, styles: Tensor, active: int) -> Tensor:
        """A share of the samples with another's styles from one of the layers 1 … active - 1 on."""
        n, device = len(styles), styles.device
        others = styles[torch.randperm(n, device=device)]
        crossover = torch.randint(1, active, (n, 1), device=device)
        chosen = torch.rand(n, 1, device=device) < self.mixing
        swapped = chosen & (torch.arange(self.layers, device=device) >= crossover)
        return torch.where(swapped[:, :, None], others, styles)


class Noise(nn.Module):
    """x + strength × noise: one map of noise for each sample, a strength for each of `channels` (1: the same for all).

    It is drawn anew in training; samples all have the one that was drawn at the start.
    """

    kept: Tensor

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("kept", torch.randn(1, 1, side, side))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x + self.strength * self.kept
        return x + self.strength * torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=x.dtype)
