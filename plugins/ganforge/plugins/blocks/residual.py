"""Pre-activation residual blocks that change a map's size, as in SNGAN and the papers that build on it.

Upsampling is nearest, downsampling an average over 2×2. A 1×1 convolution commutes with both, so shortcuts
are computed on the smaller map: the same function, a quarter of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

L = TypeVar("L", nn.Linear, nn.Conv2d)


def glorot(layer: L, gain: float = 1.0) -> L:
    """The layer with a Glorot-uniform weight and no bias to start with (√2: what follows a ReLU)."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """A residual branch's convolution: size kept, gain √2."""
    return glorot(nn.Conv2d(inputs, outputs, 3, padding=1), 2**0.5)


class UpBlock(nn.Module):
    """[N, inputs, h, w] → [N, outputs, 2h, 2w]: norm, ReLU, up, 3×3, norm, ReLU, 3×3, + shortcut.

    Args:
        norm: makes a normalisation for a number of channels; batch norm by default.
    """

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1, self.conv2 = conv3x3(inputs, outputs), conv3x3(outputs, outputs)
        self.activation = nn.ReLU()
        self.shortcut = glorot(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """`condition` is what the norms take beside their maps, for norms that do."""
        h = self.conv1(_up(self.activation(self.norm1(x, *condition))))
        return self.conv2(self.activation(self.norm2(h, *condition))) + _up(self.shortcut(x))


class DownBlock(nn.Module):
    """Halves a map or keeps its size: ReLU, 3×3, ReLU, 3×3, average, + shortcut; no normalisation.

    Args:
        down: [N, inputs, h, w] → [N, outputs, h/2, w/2]; otherwise the size stays.
        first: the block sees the image itself, which no ReLU may cut.
    """

    def __init__(self, inputs: int, outputs: int, *, down: bool = True, first: bool = False) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1, self.conv2 = conv3x3(inputs, outputs), conv3x3(outputs, outputs)
        self.activation = nn.ReLU()
        learned = down or inputs != outputs
        self.shortcut = glorot(nn.Conv2d(inputs, outputs, 1)) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.activation(self.conv1(x if self.first else self.activation(x))))
        if not self.down:
            return h + self.shortcut(x)
        return avg_pool2d(h, 2) + self.shortcut(avg_pool2d(x, 2))


def image_layers(width: int, channels: int) -> nn.Sequential:
    """The generator's last: maps [N, width, s, s] → BN, ReLU, 3×3, tanh [N, channels, s, s]."""
    return nn.Sequential(
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        glorot(nn.Conv2d(width, channels, 3, padding=1)),
        nn.Tanh(),
    )


def _up(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0, mode="nearest")
