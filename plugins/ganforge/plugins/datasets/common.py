"""What several data sets share: the held-out tenth, and resizing pictures that are in memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ganforge.core import GanforgeError
from ganforge.core.data import Split

HELD_OUT = 10  # one sample in this many
MEMORY_LIMIT = 16 * 2**30  # bytes; a mistyped resolution should be a sentence, not a machine that swaps


def split_indices(keys: Sequence[bytes], split: Split, name: str) -> np.ndarray:
    """Indices, int64 and rising, of the samples in `split`: one in ten is held out, by the hash of its key.

    A sample's side depends on its own key alone, so it stays when others come or go. Only where the hashes
    would leave a side empty does the nearest sample change over.

    Raises:
        GanforgeError: the data set `name` has a single sample, which is for training.
    """
    hashes = np.array([_hash(key) for key in keys], dtype=np.uint64)
    held = hashes % HELD_OUT == 0
    if len(keys) > 1 and not held.any():
        held[hashes.argmin()] = True
    elif held.all():
        held[hashes.argmax()] = False
    chosen = np.flatnonzero(held if split == "test" else ~held)
    if not len(chosen):
        raise GanforgeError(f"data set '{name}' has a single sample and so no {split} split")
    return chosen


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def check_memory(shape: tuple[int, int, int, int], name: str) -> None:
    """Refuse bytes [n, C, H, W] beyond what is sensible.

    Raises:
        GanforgeError: they would not fit in memory.
    """
    if (needed := math.prod(shape)) > MEMORY_LIMIT:
        raise GanforgeError(
            f"data set '{name}' at {shape[2]}×{shape[3]} needs {needed / 2**30:.0f} GiB of memory; "
            f"ask for a lower --resolution"
        )


def resize(images: np.ndarray, resolution: int | None, name: str) -> np.ndarray:
    """Square uint8 images [n, C, H, H] at another side: bicubic, anti-aliased where it shrinks; C is 1 or 3.

    `None` and the side they have leave them as they are.

    Raises:
        GanforgeError: the result would not fit in memory.
    """
    n, channels, side = images.shape[:3]
    if resolution is None or resolution == side:
        return images
    check_memory((n, channels, resolution, resolution), name)
    resized = np.empty((n, channels, resolution, resolution), np.uint8)
    for image, target in zip(images, resized, strict=True):
        picture = Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
        pixels = np.asarray(picture.resize((resolution, resolution), Image.Resampling.BICUBIC))
        target[:] = pixels if channels == 1 else pixels.transpose(2, 0, 1)
    return resized
