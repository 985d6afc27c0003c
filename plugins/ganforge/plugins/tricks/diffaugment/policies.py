"""The policies of DiffAugment (Zhao et al., arXiv 2006.10738, section 3.2), with the numbers of the authors' code.

Every function takes images [N, C, H, W] in [-1, 1] and draws anew for each; what is moved or cut away leaves 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganforge.core import GanforgeError
from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Effect, Game
from ganforge.plugins.blocks.stacks import COLOUR, each_picture
from ganforge.plugins.tricks.diffaugment import DiffAugmentOptions


class DiffAugment(Effect):
    """T in equations 2 and 3: the discriminator sees T(x) and T(G(z)), and gradients reach G through T."""

    def __init__(self, options: DiffAugmentOptions) -> None:
        super().__init__()
        self.options, self.channels = options, COLOUR

    def attach(self, game: Game) -> None:
        if game.data.kind != "images":
            raise GanforgeError(f"regularizer 'diffaugment' changes images, not {game.data}; leave it out")
        self.channels = game.data.shape[0]

    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        if self.options.colour:
            images = each_picture(lambda picture: colour(picture, draw), images, self.channels)
        if self.options.translation:
            images = translation(images, draw, self.options.translation)
        if self.options.cutout:
            images = cutout(images, draw, self.options.cutout)
        return images


def colour(images: Tensor, draw: Draw) -> Tensor:
    """Brightness, saturation and contrast, in this order."""
    return contrast(saturation(brightness(images, draw), draw), draw)


def brightness(images: Tensor, draw: Draw) -> Tensor:
    """Add a number in [-0.5, 0.5)."""
    return images + (draw.uniform("brightness", 1, 1, 1) - 0.5)


def saturation(images: Tensor, draw: Draw) -> Tensor:
    """Move every pixel's channels from their mean, by a factor in [0, 2). Grey images stay as they are."""
    mean = images.mean(dim=1, keepdim=True)
    return (images - mean) * (2 * draw.uniform("saturation", 1, 1, 1)) + mean


def contrast(images: Tensor, draw: Draw) -> Tensor:
    """Move every value from the image's mean, by a factor in [0.5, 1.5)."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (draw.uniform("contrast", 1, 1, 1) + 0.5) + mean


def translation(images: Tensor, draw: Draw, share: float) -> Tensor:
    """Shift by whole pixels, up to `share` of the side each way."""
    n, _, height, width = images.shape
    down, right = int(height * share + 0.5), int(width * share + 0.5)
    rows = _positions(images, height) + draw.integers("down", 2 * down + 1, 1)
    columns = _positions(images, width) + draw.integers("right", 2 * right + 1, 1)
    padded = pad(images, (right, right, down, down)).movedim(1, 3)
    every = torch.arange(n, device=images.device)[:, None, None]
    return padded[every, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def cutout(images: Tensor, draw: Draw, share: float) -> Tensor:
    """Set a rectangle of `share` of the sides to 0; its centre is anywhere, so that it may stick out."""
    height, width = images.shape[2:]
    rows = _within(images, height, int(height * share + 0.5), draw, "cutout/rows")
    columns = _within(images, width, int(width * share + 0.5), draw, "cutout/columns")
    cut = rows[:, None, :, None] & columns[:, None, None, :]
    return images * ~cut


def _within(images: Tensor, side: int, size: int, draw: Draw, name: str) -> Tensor:
    """Which positions [N, side] lie in a stretch of `size` about a centre drawn for each image."""
    centre = draw.integers(name, side + 1 - size % 2, 1)
    first = centre - size // 2
    positions = _positions(images, side)
    return (positions >= first) & (positions < first + size)


def _positions(images: Tensor, side: int) -> Tensor:
    return torch.arange(side, device=images.device)[None]
