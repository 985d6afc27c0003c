"""The augmentations (Karras et al., arXiv 2006.06676, appendix B, with the constants of its figure 19).

Geometric operations are matrices [n, 3, 3] on pixel positions (right, down, 1) from the image's centre, and map the
augmented image's positions to the original's: the inverse of the operation. Those of colour are matrices [n, 4, 4] on
(red, green, blue, 1), in [-1, 1].
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from ganforge.core.draw import Draw


class Chance(NamedTuple):
    """The move's randomness, and p (a scalar)."""

    draw: Draw
    p: Tensor

    def maybe(self, name: str, values: Tensor, neutral: float, p: Tensor | None = None) -> Tensor:
        """Each sample's row of `values` [n, …] with probability p, else `neutral`."""
        coin = self.draw.uniform(f"{name}/applied", *[1] * (values.dim() - 1))
        return torch.where(coin < (self.p if p is None else p), values, neutral)


def blit(chance: Chance, height: int, width: int) -> Tensor:
    """Mirroring, then quarter turns, then a shift by whole pixels: nothing between the pixels."""
    draw = chance.draw
    mirrored = chance.maybe("mirror", draw.integers("mirror", 2).float(), 0)
    turns = chance.maybe("turns", draw.integers("turns", 4).float(), 0)
    shift = chance.maybe("shift", (2 * draw.uniform("shift", 2) - 1) * 0.125, 0)
    return product(
        [
            scale(1 - 2 * mirrored, torch.ones_like(mirrored)),
            rotation(math.pi / 2 * turns),
            translation(-(shift[:, 0] * width).round(), -(shift[:, 1] * height).round()),
        ]
    )


def geometry(chance: Chance, height: int, width: int) -> Tensor:
    """Scaling, rotation, stretching along an axis, rotation again, a shift by fractions of the size."""
    draw = chance.draw
    # Two rotations: at least one of them with probability p.
    p_rotation = 1 - (1 - chance.p).clamp(0, 1).sqrt()
    size = chance.maybe("size", torch.exp2(0.2 * draw.normal("size")), 1)
    before = chance.maybe("before", (2 * draw.uniform("before") - 1) * math.pi, 0, p_rotation)
    stretch = chance.maybe("stretch", torch.exp2(0.2 * draw.normal("stretch")), 1)
    after = chance.maybe("after", (2 * draw.uniform("after") - 1) * math.pi, 0, p_rotation)
    shift = chance.maybe("fraction", 0.125 * draw.normal("fraction", 2), 0)
    return product(
        [
            scale(1 / size, 1 / size),
            rotation(before),
            scale(1 / stretch, stretch),
            rotation(after),
            translation(-shift[:, 0] * width, -shift[:, 1] * height),
        ]
    )


def colour(chance: Chance, channels: int) -> Tensor:
    """Brightness, contrast, luma flip, and of colour images hue and saturation."""
    draw = chance.draw
    brightness = chance.maybe("brightness", 0.2 * draw.normal("brightness"), 0)
    contrast = chance.maybe("contrast", torch.exp2(0.5 * draw.normal("contrast")), 1)
    flipped = chance.maybe("luma", draw.integers("luma", 2).float(), 0)
    grey = torch.full((3, 3), 1 / 3, device=brightness.device)  # v vᵀ: the projection on the axis of grey
    eye = torch.eye(3, device=brightness.device)
    changes = [
        affine(eye.expand(len(brightness), 3, 3), brightness),
        affine(column(contrast) * eye),
        affine(eye - 2 * column(flipped) * grey),
    ]
    if channels > 1:
        hue = chance.maybe("hue", (2 * draw.uniform("hue") - 1) * math.pi, 0)
        saturation = chance.maybe("saturation", torch.exp2(draw.normal("saturation")), 1)
        cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=hue.device) / math.sqrt(3)
        turned = column(hue.cos()) * (eye - grey) + column(hue.sin()) * cross + grey
        changes += [affine(turned), affine(grey + column(saturation) * (eye - grey))]
    return product(changes[::-1])


def resample(images: Tensor, inverse: Tensor) -> Tensor:
    """Images [N, C, H, W] seen at the positions `inverse` [N, 3, 3] leads to; beyond the border they are mirrored."""
    height, width = images.shape[2:]
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2, 1.0], device=images.device)
    normalised = inverse * half / half[:, None]  # positions from -1 to 1 between the outermost pixels
    grid = affine_grid(normalised[:, :2], list(images.shape), align_corners=True)
    sampled: Tensor = Sample.apply(images, grid)
    return sampled


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    """Every pixel's colour through `matrix` [N, 4, 4]; grey is a colour with three equal channels."""
    matrix = matrix[:, :3]
    if images.shape[1] == 1:
        matrix = matrix.mean(dim=1, keepdim=True)
        matrix = torch.stack([matrix[:, :, :3].sum(dim=2), matrix[:, :, 3]], dim=2)
    return (matrix[:, :, :-1] @ images.flatten(2) + matrix[:, :, -1:]).view(images.shape)


class Sample(torch.autograd.Function):
    """Bilinear sampling. It is linear in the images, so its gradient can be differentiated again, as R1 wants;
    torch's own cannot.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return grid_sample(images, grid, "bilinear", "reflection", align_corners=True)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        spread: Tensor = Spread.apply(gradient[0], *ctx.saved_tensors, ctx.shape)
        return spread, None


class Spread(torch.autograd.Function):
    """The transpose of `Sample`: every value goes back to the pixels it came from."""

    @staticmethod
    def forward(ctx: Any, sampled: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            images = sampled.new_zeros(shape, requires_grad=True)
            again = grid_sample(images, grid, "bilinear", "reflection", align_corners=True)
        (spread,) = torch.autograd.grad(again, images, sampled)
        return spread

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None]:
        sampled: Tensor = Sample.apply(gradient[0], *ctx.saved_tensors)
        return sampled, None, None


def translation(right: Tensor, down: Tensor) -> Tensor:
    return _positions([[1, 0, right], [0, 1, down]])


def scale(right: Tensor, down: Tensor) -> Tensor:
    return _positions([[right, 0, 0], [0, down, 0]])


def rotation(angle: Tensor) -> Tensor:
    return _positions([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0]])


def affine(linear: Tensor, constant: Tensor | None = None) -> Tensor:
    """[n, 4, 4] that does `linear` [n, 3, 3] and adds `constant` [n] to every channel."""
    matrix = torch.eye(4, device=linear.device).repeat(len(linear), 1, 1)
    matrix[:, :3, :3] = linear
    if constant is not None:
        matrix[:, :3, 3] = constant[:, None]
    return matrix


def column(values: Tensor) -> Tensor:
    """[n] as [n, 1, 1]."""
    return values[:, None, None]


def product(matrices: Sequence[Tensor]) -> Tensor:
    """The matrix product from left to right, sample by sample."""
    return functools.reduce(torch.matmul, matrices)


def _positions(rows: Sequence[Sequence[Tensor | float]]) -> Tensor:
    """[n, 3, 3] from two rows of entries, each [n] or one number for all."""
    like = next(entry for row in rows for entry in row if isinstance(entry, Tensor))
    matrix = torch.eye(3, device=like.device).repeat(len(like), 1, 1)
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            matrix[:, i, j] = entry
    return matrix
