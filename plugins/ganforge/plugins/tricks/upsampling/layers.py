"""Layers that enlarge a map, each a convolution with one weight, in the place of a transposed convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle

from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks import surgery
from ganforge.plugins.tricks.upsampling import UpsamplingOptions


class ShuffledConv2d(nn.Conv2d):
    """[N, inputs, h, w] → 3×3 → [N, scale²·outputs, h, w] → pixel shuffle → [N, outputs, scale·h, scale·w]."""

    def __init__(self, inputs: int, outputs: int, scale: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs * scale**2, 3, padding=1, bias=bias)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(super().forward(x), self.scale)


class ResizedConv2d(nn.Conv2d):
    """[N, inputs, h, w] → nearest or bilinear [N, inputs, scale·h, scale·w] → 3×3 → [N, outputs, scale·h, scale·w]."""

    def __init__(self, inputs: int, outputs: int, scale: int, *, mode: str, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)
        self.scale, self.mode = scale, mode

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(interpolate(x, scale_factor=float(self.scale), mode=self.mode))


class Upsampling(Effect):
    """Every transposed convolution that multiplies its map's size by its stride, replaced.

    The new weights are normal with the standard deviation the old ones were drawn with; biases are the old ones.
    """

    attach_order = surgery.REPLACES

    def __init__(self, options: UpsamplingOptions) -> None:
        super().__init__()
        self.options = options

    def attach(self, game: Game) -> None:
        what = "transposed convolution that multiplies a map's size by its stride"
        surgery.replace(game, surgery.Search("upsampling", self.options.networks, what, enlarges), self.replacement)

    @torch.no_grad()
    def replacement(self, old: nn.ConvTranspose2d) -> nn.Conv2d:
        sizes, bias = (old.in_channels, old.out_channels, old.stride[0]), old.bias is not None
        fresh: nn.Conv2d
        if self.options.kind == "pixel-shuffle":
            fresh, copies = ShuffledConv2d(*sizes, bias=bias), old.stride[0] ** 2
        else:
            fresh, copies = ResizedConv2d(*sizes, mode=self.options.kind, bias=bias), 1
        nn.init.normal_(fresh.weight, 0.0, old.weight.std().item())
        if self.options.icnr:
            # The scale² channels that become one output's square lie next to each other: start with all the same.
            fresh.weight.copy_(fresh.weight[::copies].repeat_interleave(copies, dim=0))
        if fresh.bias is not None and old.bias is not None:
            fresh.bias.copy_(old.bias.repeat_interleave(copies))
        return fresh


def enlarges(layer: nn.Module) -> bool:
    """Whether a layer is a plain transposed convolution to exactly stride times the size, such as k4 s2 p1."""
    if not isinstance(layer, nn.ConvTranspose2d) or layer.groups > 1 or max(layer.dilation) > 1:
        return False
    kernel, padding, extra = layer.kernel_size, layer.padding, layer.output_padding
    growth = {kernel[axis] - 2 * int(padding[axis]) + extra[axis] for axis in (0, 1)}
    return growth == set(layer.stride) and layer.stride[0] > 1
