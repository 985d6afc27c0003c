"""Layers with an equalised learning rate, and pixel norm (Karras et al. 2017, arXiv 1710.10196, section 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

ROOT2 = math.sqrt(2)
"""He's gain, for layers that a (leaky) ReLU follows."""


def equalise(layer: nn.Linear | nn.Conv2d, gain: float, rate: float) -> float:
    """Start the layer with weights N(0, 1) / rate and no bias; returns what the forward pass multiplies them by.

    Weights in use are gain / √inputs of those learned (section 4.1), so that Adam's steps, whose size knows no scale,
    are alike in all layers; `rate` makes them smaller or larger.
    """
    nn.init.normal_(layer.weight, 0.0, 1 / rate)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return gain * rate / math.sqrt(layer.weight[0].numel())


class Equalised:
    """A layer whose weights in use are those learned times its `scale`."""

    scale: float


class EqualLinear(Equalised, nn.Linear):
    """[N, inputs] → [N, outputs]."""

    def __init__(self, inputs: int, outputs: int, gain: float = ROOT2, rate: float = 1.0, start: float = 0.0) -> None:
        """`start` is what the biases in use are at first."""
        super().__init__(inputs, outputs)
        self.scale, self.rate = equalise(self, gain, rate), rate
        nn.init.constant_(self.bias, start / rate)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv2d(Equalised, nn.Conv2d):
    """[N, inputs, h, w] → [N, outputs, h, w], zeros around; with a stride there are none around."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, gain: float = ROOT2, *, bias: bool = True, stride: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, bias=bias)
        self.scale = equalise(self, gain, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class PixelNorm(nn.Module):
    """a / √(mean of a² over the channels + 1e-8), at every place: section 4.2; [N, C] or [N, C, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + 1e-8).to(x.dtype)
