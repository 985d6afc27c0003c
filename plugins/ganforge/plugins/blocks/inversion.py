"""From samples back to latents: an encoder E, and games that show what G makes of E(x) beside x."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.core.data import Data, DataSpec
from ganforge.core.draw import Batch
from ganforge.core.game import AdversarialGame


class Encoder(nn.Module):
    """Samples [N, *shape] → latents [N, latent], any real numbers.

    Images are halved by Conv2d k4 s2 p1 while they have 8 pixels, their maps doubling from `width`; points, in units
    of their extent, go through two linear layers of `width`. LeakyReLU 0.2, batch norm but after the first layer.
    """

    def __init__(self, data: DataSpec, latent: int, width: int) -> None:
        super().__init__()
        self.extent = data.extent
        layers, features = _convolutions(data.shape, width) if data.kind == "images" else _linear(data.shape, width)
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.code = nn.Linear(features, latent)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.layers(x / self.extent))
        return code


def _convolutions(shape: Sequence[int], width: int) -> tuple[list[nn.Module], int]:
    """The layers, and how many features they end with."""
    channels, *sides = shape
    layers: list[nn.Module] = []
    while min(sides) >= 8:
        after = 2 * channels if layers else width
        layers += [nn.Conv2d(channels, after, 4, 2, 1), *([nn.BatchNorm2d(after)] if layers else []), nn.LeakyReLU(0.2)]
        channels, sides = after, [side // 2 for side in sides]
    return layers, channels * math.prod(sides)


def _linear(shape: Sequence[int], width: int) -> tuple[list[nn.Module], int]:
    first, second = nn.Linear(math.prod(shape), width), nn.Linear(width, width)
    return [first, nn.LeakyReLU(0.2), second, nn.BatchNorm1d(width), nn.LeakyReLU(0.2)], width


class InvertingGame(AdversarialGame):
    """A game with a network `encoder`, whose pictures are samples, then rows of real x over rows of G(E(x))."""

    averaged = ("generator", "encoder")

    @torch.no_grad()
    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """G(E(x)) [N, *shape] by the averaged networks."""
        images: Tensor = self.ema["generator"](self.ema["encoder"](x), labels).images
        return images

    def pictured(
        self, latents: np.ndarray, labels: np.ndarray | None, data: Data
    ) -> tuple[np.ndarray, np.ndarray | None]:
        columns = math.ceil(math.sqrt(len(latents)))
        pairs = columns // 4
        if self.data.kind == "points" or not pairs:
            return super().pictured(latents, labels, data)
        x, y = first_images(data, pairs * columns, self.device)
        found = self.reconstruct(x, y if self.labelled else None).float()
        rows = [x.unflatten(0, (pairs, columns)), found.unflatten(0, (pairs, columns))]
        beside = torch.stack(rows, dim=1).flatten(0, 2).cpu().numpy()
        return np.concatenate([self.sample(latents, labels)[: columns * (columns - 2 * pairs)], beside]), None


def first_images(data: Data, n: int, device: torch.device) -> Batch:
    """The first `n` images of a data set as networks see them, from its start again where it has fewer."""
    pixels, labels = data.fetch(np.arange(n) % len(data))
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).float().div(127.5).sub(1)
    return Batch(x, None if labels is None else torch.from_numpy(labels).to(device))


def squared(one: Tensor, two: Tensor) -> Tensor:
    """The mean over values of the squared difference, of each sample: [N, …] twice to float32 [N]."""
    return (one.float() - two.float()).square().flatten(1).mean(dim=1)
