"""A picture file of any size and mode as a square array."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ganforge.core import GanforgeError

# Pillow knows more; some of those start other programs (EPS), none is what a folder of pictures holds.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi",
    ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
WHITE = 65535  # of a 16-bit picture


def check(file: Path) -> str:
    """Read a picture's header only: what is wrong with it, or an empty string."""
    try:
        with Image.open(file, formats=_formats()):
            return ""
    except Exception as error:  # see `decode`
        return reason(error)


def decode(file: Path, resolution: int, channels: int, parts: int = 1) -> np.ndarray:
    """The largest centred square of a picture, resized to uint8 [parts * channels, resolution, resolution].

    A file may hold several pictures of one width side by side: `parts` of them come one behind the other.

    Resizing is bicubic and anti-aliased. The picture is turned as its EXIF orientation says, transparent
    parts lie on white, an animation gives its first frame; 16-bit grey is scaled to 8, floating-point grey is
    taken to lie in [0, 1]. `channels` is 1 or 3.

    Raises:
        Exception: of almost any type, as Pillow's decoders do on a file that is damaged, not a picture, or so
            large (`Image.DecompressionBombError`) that it is taken for an attack.
    """
    # A JPEG is decoded at an eighth, a quarter or half its size where that is still twice what is wanted.
    image = _open(file, channels, (2 * parts * resolution, 2 * resolution))
    # Cut first: a resized box takes a little of what lies around it.
    cuts = [image.width * part // parts for part in range(parts + 1)]
    pieces = [image.crop((left, 0, right, image.height)) for left, right in itertools.pairwise(cuts)]
    return np.concatenate([_square(piece, resolution, channels) for piece in pieces])


def _square(image: Image.Image, resolution: int, channels: int) -> np.ndarray:
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = image.resize((resolution, resolution), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(square).reshape(resolution, resolution, channels).transpose(2, 0, 1)


def read(file: Path, channels: int) -> np.ndarray:
    """A whole picture at its own size, otherwise as `decode` takes it: uint8 [H, W, channels]; raises the same."""
    image = _open(file, channels)
    return np.asarray(image).reshape(image.height, image.width, channels)


def _open(file: Path, channels: int, enough: tuple[int, int] | None = None) -> Image.Image:
    with Image.open(file, formats=_formats()) as opened:
        if enough is not None:
            opened.draft(None, enough)
        opened.load()
        return _to_mode(_upright(opened), "L" if channels == 1 else "RGB")


def reason(error: Exception) -> str:
    """A decoder's error in a few words, without the path and the object addresses Pillow puts in."""
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Whatever a decoder raises on a file, as one sentence.

    Raises:
        GanforgeError: names the file and what is wrong with it.
    """
    try:
        yield
    except Exception as error:  # of almost any type: see `decode`
        raise GanforgeError(f"cannot read picture {file}: {reason(error)}") from None


@cache
def _formats() -> tuple[str, ...]:
    """The formats this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block is no reason to lose a sound picture
        return image


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Any of Pillow's modes as 8-bit `mode`, L or RGB."""
    if image.mode.startswith("I"):  # "I;16" and its kin; older Pillows open 16-bit PNGs as "I"
        image = Image.fromarray(_to_bytes(np.asarray(image) / WHITE))
    elif image.mode == "F":
        image = Image.fromarray(_to_bytes(np.nan_to_num(np.asarray(image))))
    elif image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return image if image.mode == mode else image.convert(mode)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """[0, 1] to 0..255, rounded, clipped."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
