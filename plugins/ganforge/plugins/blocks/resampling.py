"""Resampling by two with a filter, for each channel by itself, as in StyleGAN and the papers that build on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d


class Resampling(nn.Module):
    """The filter (1, 3, 3, 1) of bilinear resampling by two, in both directions and for each channel by itself."""

    kernel: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.width = width
        self.register_buffer("kernel", torch.outer(line, line).expand(width, 1, 4, 4).clone())


class Up(Resampling):
    """[N, width, h, w] → [N, width, 2h, 2w], with zeros around the map."""

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose2d(x, 4 * self.kernel, stride=2, padding=1, groups=self.width)


class Down(Resampling):
    """[N, width, h, w] → [N, width, h/2, w/2], with zeros around the map."""

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.kernel, stride=2, padding=1, groups=self.width)


class Blur(nn.Module):
    """The outer square of `line`, whose sum is made `gain`, over maps with `padding` zeros around."""

    kernel: Tensor

    def __init__(self, width: int, line: tuple[float, ...], padding: int, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor(line) / sum(line)
        self.width, self.padding = width, padding
        self.register_buffer("kernel", gain * torch.outer(taps, taps).expand(width, 1, *2 * taps.shape).clone())

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.kernel, padding=self.padding, groups=self.width)
