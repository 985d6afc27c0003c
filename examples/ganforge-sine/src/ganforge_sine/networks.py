"""The networks: a generator that is a function of the plane, and a plain discriminator."""

from __future__ import annotations

import itertools
import math

import torch
from ganforge.core import Built, GanforgeError
from ganforge.core.game import Critique, Generated, Networks
from torch import Tensor, nn

from ganforge_sine import SineOptions


def build(options: SineOptions, built: Built) -> Networks:
    """Both networks for the images that `built.data` describes.

    Raises:
        GanforgeError: for points in the plane.
    """
    if built.data.kind != "images":
        raise GanforgeError(f"architecture 'sine' builds images, not {built.data}; try the recipe vanilla")
    return Networks(Generator(options, built), Discriminator(built.data.shape))


class Generator(nn.Module):
    """Latents [N, width] to images [N, C, H, W] in [-1, 1]: the same perceptron at each of the H * W points.

    A hidden layer is sin((1 + scale) * linear(x) + shift), its scale and shift made from the latent, so that
    one set of weights paints a different picture for each latent.
    """

    points: Tensor

    def __init__(self, options: SineOptions, built: Built) -> None:
        super().__init__()
        channels, self.height, side = built.data.shape
        width, depth = options.width, options.depth
        # A buffer, not a plain attribute: it moves to the GPU with the network, and into the exported file.
        self.register_buffer("points", coordinates(self.height, side))
        widths = [2] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.styles = nn.Sequential(
            nn.Linear(built.latent.width, width), nn.LeakyReLU(0.2), nn.Linear(width, 2 * width * depth)
        )
        self.colour = nn.Linear(width, channels)
        initialise(self.layers, options.frequency)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        x = self.points  # [H * W, 2]; from the first scale on [N, H * W, width]
        styles = self.styles(z).unsqueeze(1).chunk(2 * len(self.layers), dim=2)
        for layer, scale, shift in zip(self.layers, styles[::2], styles[1::2], strict=True):
            x = torch.sin((1 + scale) * layer(x) + shift)
        images = torch.tanh(self.colour(x)).transpose(1, 2)
        return Generated(images.unflatten(2, (self.height, -1)))


class Discriminator(nn.Module):
    """Images [N, C, H, W] to logits [N]: two hidden layers on all pixels."""

    def __init__(self, shape: tuple[int, ...], width: int = 256) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(shape), width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
        )
        self.logits = nn.Linear(width, 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.features(x)
        return Critique(self.logits(features).flatten(), features)


def coordinates(height: int, width: int) -> Tensor:
    """The pixels' places, row by row: [height * width, 2] in [-1, 1], across then down."""
    down, across = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return torch.cartesian_prod(down, across).flip(1)


def initialise(layers: nn.ModuleList, frequency: float) -> None:
    """Weights uniform on ±sqrt(6 / inputs), so that values stay spread out over layers (SIREN, section 3.2).

    The first layer's are on ±frequency/2: a picture then holds up to about frequency/π waves.
    """
    for index, layer in enumerate(layers):
        assert isinstance(layer, nn.Linear)
        bound = frequency / 2 if index == 0 else math.sqrt(6 / layer.in_features)
        nn.init.uniform_(layer.weight, -bound, bound)
