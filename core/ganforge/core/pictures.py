"""Samples as pictures people look at: grids of images, scatter plots of points. numpy and Pillow only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ganforge.core.files import atomic

GAP = 2
GROUND = 96  # grey
FRAME_MS = 120


def to_pixels(images: np.ndarray) -> np.ndarray:
    """float [N, C, H, W] in [-1, 1] to uint8 [N, H, W, C]: -1 is 0 and 1 is 255, rounded, clipped."""
    pixels = np.clip((images.astype(np.float32) + 1) * 127.5, 0, 255)
    return np.rint(pixels).astype(np.uint8).transpose(0, 2, 3, 1)


def from_pixels(pixels: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] to the float32 [N, C, H, W] in [-1, 1] of which `to_pixels` makes these pixels again."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1


def grid(pixels: np.ndarray, columns: int | None = None, labels: np.ndarray | None = None) -> np.ndarray:
    """uint8 [N, H, W, C] as one picture [h, w, C] on a grey ground; small images are enlarged.

    Row by row or, where the images have `labels` [N] of which each comes more than once, a row for each class.
    """
    n, height, width, channels = pixels.shape
    zoom = max(1, 64 // max(height, width))
    pixels = pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    if labels is not None and 1 < len(np.unique(labels)) <= n // 2:
        row, column = _by_class(labels)
        columns = column.max() + 1
    else:
        columns = columns or math.ceil(math.sqrt(n))
        row, column = np.divmod(np.arange(n), columns)
    cell_h, cell_w = height * zoom + GAP, width * zoom + GAP
    sheet = np.full(((row.max() + 1) * cell_h + GAP, columns * cell_w + GAP, channels), GROUND, np.uint8)
    for image, top, left in zip(pixels, GAP + row * cell_h, GAP + column * cell_w, strict=True):
        sheet[top : top + height * zoom, left : left + width * zoom] = image
    return sheet


def _by_class(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row and column of each image when every class has a row, in the order in which its images come."""
    row = np.unique(labels, return_inverse=True)[1]
    column = np.array([np.count_nonzero(row[:i] == row[i]) for i in range(len(row))])
    return row, column


def scatter(points: np.ndarray, reference: np.ndarray | None = None, size: int = 480) -> np.ndarray:
    """Points [N, 2] as a plot [size, size, 3] with both axes at zero; `reference` points lie below in grey."""
    shown = points if reference is None else reference
    extent = 1.25 * max(float(np.abs(shown).max(initial=0.0)), 1e-6)
    canvas = np.full((size, size, 3), 255, np.uint8)
    canvas[size // 2, :] = canvas[:, size // 2] = (225, 225, 225)
    if reference is not None:
        _dots(canvas, reference, extent, (200, 200, 200))
    _dots(canvas, points, extent, (200, 30, 60))
    return canvas


def _dots(canvas: np.ndarray, points: np.ndarray, extent: float, colour: tuple[int, int, int]) -> None:
    size = len(canvas)
    finite = points[np.isfinite(points).all(axis=1)]
    column, row = np.rint((finite[:, :2] * (1, -1) / extent + 1) / 2 * (size - 1)).astype(np.int64).T
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = column + dx, row + dy
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        canvas[y[inside], x[inside]] = colour


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Write uint8 [h, w, C] as PNG, atomically."""
    with atomic(path) as temporary:
        Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(temporary, format="PNG")


def save_animation(frames: Sequence[np.ndarray], path: Path) -> None:
    """Write uint8 [h, w, C] frames of one size as a looping GIF or WebP, as the name says, atomically."""
    first, *rest = [Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame) for frame in frames]
    lossless = {"lossless": True} if path.suffix.lower() == ".webp" else {}
    with atomic(path) as temporary:
        first.save(temporary, path.suffix[1:], save_all=True, append_images=rest, duration=FRAME_MS, loop=0, **lossless)


def beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures [h, w, C] of any height side by side, on the ground of `grid`."""
    height = max(len(picture) for picture in pictures)
    padded = [np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), constant_values=GROUND) for p in pictures]
    return np.concatenate(padded, axis=1)


def save_samples(
    samples: np.ndarray,
    path: Path,
    *,
    columns: int | None = None,
    labels: np.ndarray | None = None,
    reference: np.ndarray | None = None,
) -> None:
    """Write samples as the networks give them (float NCHW images, or points) as one picture."""
    if samples.ndim == 4:
        save_picture(grid(to_pixels(samples), columns, labels), path)
    else:
        save_picture(scatter(samples, reference), path)
