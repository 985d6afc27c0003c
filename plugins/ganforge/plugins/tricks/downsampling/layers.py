"""A convolution and the average of its outputs, as in the residual critic of Gulrajani et al. (arXiv 1704.00028)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks import surgery
from ganforge.plugins.tricks.downsampling import DownsamplingOptions


class PooledConv2d(nn.Conv2d):
    """A convolution of stride 1, then the average over `pool` × `pool`: [N, inputs, h, w] → [N, outputs, h', w'].

    With a kernel of k - s + 1 and a pool of s, map sizes and receptive fields are those of a kernel k of stride s:
    3×3 and 2 for DCGAN's 4×4 of stride 2.
    """

    def __init__(self, old: nn.Conv2d) -> None:
        kernel = tuple(k - s + 1 for k, s in zip(old.kernel_size, old.stride, strict=True))
        super().__init__(
            old.in_channels,
            old.out_channels,
            kernel,  # type: ignore[arg-type]
            padding=old.padding,  # type: ignore[arg-type]
            groups=old.groups,
            bias=old.bias is not None,
            padding_mode=old.padding_mode,
        )
        self.pool = old.stride

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(super().forward(x), self.pool)


class Downsampling(Effect):
    """Every convolution with a stride, replaced.

    The new weights are normal with the standard deviation the old ones were drawn with; biases are the old ones.
    """

    attach_order = surgery.REPLACES

    def __init__(self, options: DownsamplingOptions) -> None:
        super().__init__()
        self.networks = options.networks

    def attach(self, game: Game) -> None:
        search = surgery.Search("downsampling", self.networks, "convolution with a stride", strides)
        surgery.replace(game, search, self.replacement)

    @torch.no_grad()
    def replacement(self, old: nn.Conv2d) -> PooledConv2d:
        fresh = PooledConv2d(old)
        nn.init.normal_(fresh.weight, 0.0, old.weight.std().item())
        if fresh.bias is not None and old.bias is not None:
            fresh.bias.copy_(old.bias)
        return fresh


def strides(layer: nn.Module) -> bool:
    """Whether a layer is a plain convolution that steps over no pixel, such as k4 s2 p1."""
    if not isinstance(layer, nn.Conv2d) or max(layer.stride) == 1 or isinstance(layer.padding, str):
        return False
    return max(layer.dilation) == 1 and all(k >= s for k, s in zip(layer.kernel_size, layer.stride, strict=True))
