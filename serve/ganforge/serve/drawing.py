"""From a seed to what a graph is fed, and from its output to a picture: the same ones that `Model.sample` gives."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ganforge.core.card import Card
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import picture_seeds
from ganforge.core.pictures import grid, scatter, to_pixels

FORMATS = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
LONGEST = {"png": 2**31 - 1, "webp": 16_383, "jpeg": 65_500}
"""Pixels of a side that a format holds."""


@dataclass(frozen=True)
class Drawing:
    """What somebody wants to see.

    `n` pictures of `seed` from `start` on; or, with `to`, `n` steps on the way from the first picture of `seed` to that
    of `to`. `shifts` moves all latents along directions of the card: number of the direction to how far.
    """

    n: int
    seed: int = 0
    start: int = 0
    to: int | None = None
    label: str | None = None
    truncation: float | None = None
    shifts: Mapping[int, float] | None = None
    columns: int | None = None
    format: str = "png"


def labels_of(drawing: Drawing, card: Card) -> np.ndarray | None:
    """Each picture's class, int64 [n], or None where the model takes none.

    Raises:
        GanforgeError: no such class, or a class of a model without any.
    """
    if not card.labelled:
        if drawing.label is not None:
            raise GanforgeError("this model was trained without labels; leave the label out")
        return None
    if drawing.to is not None:  # one class all the way, by default that of the first picture
        return card.data.labels(1, drawing.label, start=drawing.start).repeat(drawing.n)
    return card.data.labels(drawing.n, drawing.label, start=drawing.start)


def feed(drawing: Drawing, card: Card) -> dict[str, np.ndarray]:
    """What the graph takes for a drawing: its inputs [n, …] by name.

    Raises:
        GanforgeError: the model has no such class, no latents to choose, no truncation or no such direction.
    """
    roles = {one.role for one in card.inputs}
    values: dict[str, np.ndarray] = {}
    if (labels := labels_of(drawing, card)) is not None:
        values["label"] = labels[:, None]
    if "seed" in roles:
        values["seed"] = _seeds(drawing)[:, None]
    if "truncation" in roles:
        values["truncation"] = _truncations(drawing, card)
    elif drawing.truncation is not None and "z" not in roles:
        raise GanforgeError("this model takes no truncation; leave it out")
    if "z" in roles:
        latents = _latents(drawing, card, None if "truncation" in roles else drawing.truncation)
        values |= {"z": latents[:, : card.latent.dim], "codes": latents[:, card.latent.dim :]}
    if missing := sorted(roles - values.keys()):
        raise GanforgeError(f"this model needs an input of the kind {missing[0]}, which only the infer call can give")
    return {one.name: np.ascontiguousarray(values[one.role], dtype=one.dtype) for one in card.inputs}


def directions(card: Card) -> np.ndarray:
    """Directions in which the latent may move, float32 [k, dim], most telling first; none where z is not an input."""
    given = getattr(card, "directions", ())
    if not given or not any(one.role == "z" for one in card.inputs):
        return np.zeros((0, card.latent.dim), np.float32)
    return np.asarray(given, np.float32).reshape(len(given), card.latent.dim)


def picture(drawing: Drawing, card: Card, output: np.ndarray) -> np.ndarray:
    """A graph's output as one picture, uint8 [h, w, C]: a grid, with a row for each class, or a scatter plot."""
    if card.data.kind == "points":
        return scatter(output)
    pixels = output if output.dtype == np.uint8 else to_pixels(output)
    columns = drawing.columns or (drawing.n if drawing.to is not None and drawing.n <= ROW else None)
    return grid(pixels, columns, labels_of(drawing, card) if columns is None and drawing.to is None else None)


def encoded(drawing: Drawing, card: Card, output: np.ndarray) -> bytes:
    """That picture as a file of the format asked for.

    Raises:
        GanforgeError: the format holds none so large.
    """
    pixels = picture(drawing, card, output)
    if max(pixels.shape[:2]) > LONGEST[drawing.format]:
        size = f"{pixels.shape[0]}×{pixels.shape[1]}"
        raise GanforgeError(f"a grid of {size} is too large for {drawing.format}; take png, or other columns")
    file = io.BytesIO()
    lossless = {"lossless": True} if drawing.format == "webp" else {"quality": 92} if drawing.format == "jpeg" else {}
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, drawing.format, **lossless)
    return file.getvalue()


ROW = 8
"""Steps of an interpolation that stand in one row."""


def _seeds(drawing: Drawing) -> np.ndarray:
    if drawing.to is not None or drawing.shifts:
        raise GanforgeError("this model makes its own latents from the seed; nothing lies between two of them")
    return picture_seeds(drawing.seed, drawing.n, start=drawing.start)


def _truncations(drawing: Drawing, card: Card) -> np.ndarray:
    one = next(one for one in card.inputs if one.role == "truncation")
    value = drawing.truncation
    if value is None:
        value = 1.0 if one.default is None else one.default
    low, high = -np.inf if one.low is None else one.low, np.inf if one.high is None else one.high
    if not low <= value <= high:
        raise GanforgeError(f"truncation goes from {low:g} to {high:g} for this model, not {value:g}")
    return np.full((drawing.n, one.width), value)


def _latents(drawing: Drawing, card: Card, truncation: float | None) -> np.ndarray:
    if drawing.to is None:
        latents = card.latent.sample(drawing.seed, drawing.n, start=drawing.start, truncation=truncation)
    else:
        start, end = (card.latent.sample(seed, 1, truncation=truncation)[0] for seed in (drawing.seed, drawing.to))
        latents = card.latent.path(start, end, drawing.n)
    for number, far in (drawing.shifts or {}).items():
        known = directions(card)
        if number >= len(known):
            raise GanforgeError(f"this model has {len(known)} directions, counted from 0; there is no {number}")
        latents[:, : card.latent.dim] += far * known[number]
    return latents
