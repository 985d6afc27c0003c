"""`edges` and `negatives`: two domains to translate between, made of the pictures of another data set.

`edges` has pictures and their outlines, as Isola et al. 2016 (arXiv 1611.07004) learn shoes and bags from theirs, with
Sobel's gradient in the place of HED's; `negatives` has pictures, and their strokes thickened, black on white.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from ganforge.core import (
    ArrayData,
    Data,
    DataRequest,
    Dataset,
    DataSpec,
    GanforgeError,
    Options,
    UnpairedData,
    hookimpl,
)
from ganforge.core.config import DataConfig, load_data
from ganforge.core.registry import default_registry

Style = Callable[[np.ndarray], np.ndarray]
STEEPEST = 4 * 255.0  # what Sobel's masks give at most along one axis
EDGE = 0.12  # of that, from where on it is an edge


class StyleOptions(Options):
    """Whose pictures, and whether the two domains show the same ones."""

    of: str = Field("digits", description="a data set of pictures, such as digits or fashion-mnist")
    paired: bool = Field(
        True, description="both domains of each picture; else each is in one domain only, half of them in either"
    )


class EdgesOptions(StyleOptions):
    """The same, of Fashion-MNIST."""

    of: str = Field("fashion-mnist", description="a data set of pictures, such as digits or fashion-mnist")


def load(names: tuple[str, str], first: Style, second: Style, options: StyleOptions, request: DataRequest) -> Data:
    """One split: both styles of its pictures, as pairs or as two disjoint halves.

    Raises:
        GanforgeError: no such data set, or not one of single pictures.
    """
    pixels, spec = _pictures(options.of, request)
    spec = DataSpec(shape=spec.shape, domains=names, paired=options.paired)
    if options.paired:
        return ArrayData(spec, np.concatenate([first(pixels), second(pixels)], axis=1))
    side = spec.model_copy(update={"domains": ()})
    return UnpairedData(spec, (ArrayData(side, first(pixels[::2])), ArrayData(side, second(pixels[1::2]))))


def _pictures(name: str, request: DataRequest) -> tuple[np.ndarray, DataSpec]:
    root = str(request.root) if request.root else None
    config = DataConfig(name=name, resolution=request.resolution, root=root, download=request.download)
    data = load_data(config, default_registry(), request.split)
    if data.spec.kind != "images" or data.spec.domains or len(data) < 2:
        raise GanforgeError(f"option 'data.of': two styles are made of pictures, and '{name}' has {data.spec}")
    return data.fetch(np.arange(len(data)))[0], data.spec


def plain(pixels: np.ndarray) -> np.ndarray:
    """The pictures as they are."""
    return pixels


def edges(pixels: np.ndarray) -> np.ndarray:
    """White where the brightness has a steep gradient (Sobel), else black: uint8 [n, C, H, W]."""
    around = np.pad(pixels.astype(np.float32), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    across = around[..., 2:] - around[..., :-2]
    down = around[..., 2:, :] - around[..., :-2, :]
    x = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    y = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return np.where(np.hypot(x, y) > EDGE * STEEPEST, 255, 0).astype(np.uint8)


def thick_negative(pixels: np.ndarray) -> np.ndarray:
    """Each pixel the brightest of itself and its four neighbours, then dark for light: uint8 [n, C, H, W]."""
    around = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = np.maximum(np.maximum(around[..., :-2, 1:-1], around[..., 2:, 1:-1]), pixels)
    columns = np.maximum(around[..., 1:-1, :-2], around[..., 1:-1, 2:])
    return 255 - np.maximum(rows, columns)


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [
        Dataset(
            name="edges",
            summary="outlines and the pictures they are of, for translation",
            options=EdgesOptions,
            load=partial(load, ("edges", "pictures"), edges, plain),
        ),
        Dataset(
            name="negatives",
            summary="pictures and their thick negatives, for translation",
            options=StyleOptions,
            load=partial(load, ("plain", "negative"), plain, thick_negative),
        ),
    ]
