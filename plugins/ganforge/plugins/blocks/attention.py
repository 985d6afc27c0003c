"""Self-attention over the places of a map, as in SAGAN (Zhang et al. 2018, arXiv 1805.08318, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ganforge.plugins.blocks.residual import glorot


class SelfAttention(nn.Module):
    """y = x + γ v(o) with o_j = Σ_i β_ji h(x_i), β_ji = softmax over i of f(x_i)ᵀ g(x_j); γ starts at 0.

    Maps [N, C, h, w] stay [N, C, h, w]. This is the form of the authors' code, and BigGAN's: f and g have C/8
    channels and h has C/2, and f and h are max-pooled by 2, so that each place j attends to a quarter as many
    places i. (The paper's text has C/8 for h too, and no pooling.) All four are 1×1 convolutions without bias.

    The product is written out, because torch's fused attention cannot be differentiated twice, as gradient
    penalties do.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        keys, values = max(1, channels // 8), max(1, channels // 2)
        self.f, self.g, self.h = (_conv1x1(channels, outputs) for outputs in (keys, keys, values))
        self.v = _conv1x1(values, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        f, h = (max_pool2d(maps, 2).flatten(2) for maps in (self.f(x), self.h(x)))
        o = attend(f, self.g(x).flatten(2), h)
        return x + self.gamma * self.v(o.unflatten(2, x.shape[2:]))


def attend(f: Tensor, g: Tensor, h: Tensor) -> Tensor:
    """Equations 1 and 2: keys f [N, k, I], queries g [N, k, J] and values h [N, c, I] to o [N, c, J].

    The scores are not divided by √k.
    """
    beta = (g.transpose(1, 2) @ f).softmax(dim=2)
    return h @ beta.transpose(1, 2)


def _conv1x1(inputs: int, outputs: int) -> nn.Conv2d:
    return glorot(nn.Conv2d(inputs, outputs, 1, bias=False))
