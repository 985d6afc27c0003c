"""The proof: the graph is valid, is the one the card describes, and gives what the network gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import onnx
import torch

from ganforge.core.card import Card, Parity, Precision
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import picture_seeds, uniforms
from ganforge.export.graph import Frozen
from ganforge.serve.runtime import Session

BATCHES = (1, 2, 7, 16)
TOLERANCE = 1e-4
"""Largest difference allowed, of a range of 1: images' 255 levels are 78 times as far apart."""
LOSS: Mapping[Precision, float] = {"fp16": 0.002, "int8": 0.02}
"""Mean difference allowed, of a range of 1, where precision is given up: a quarter of images' level, and 2.5 levels.

Trained networks lose 0.0001 to 0.0003 in fp16, and 0.005 to 0.01 in int8.
"""
TRUNCATION = 0.5
"""What a seeded graph is also tried with: it redraws most of a normal latent's numbers, several times."""


def prove(model: onnx.ModelProto, frozen: Frozen, card: Card, *, force: bool = False) -> Parity:
    """Run the graph in onnxruntime beside the network in torch, in fp32, on the latents that numpy makes.

    The network runs once, on the largest batch; smaller batches must repeat its first rows. So the proof also
    says that no sample depends on its neighbours, without which one seed would not be one picture. Pictures to
    translate are noise of several heights and widths, the training's among them.

    Args:
        force: accept what a lower precision costs, however much, if it still gives numbers.

    Returns:
        What was found where the difference, of what is allowed, was largest.

    Raises:
        GanforgeError: the first of these that does not hold.
    """
    what = f"the export of architecture '{card.architecture}'"
    _check(model, what)
    session = Session(model.SerializeToString(), what)
    session.check(card)
    found: list[Found] = []
    for feed, inputs, batches in _of_images(card) if card.image else _of_seeds(card, frozen.styled):
        expected = _expected(frozen, *inputs)
        _check_sides(expected, feed(len(expected)), card, what)
        tolerance = _tolerance(expected, card)
        for n in batches:
            differences = _differences(session.run(feed(n)), expected[:n])
            found.append(Found(float(differences.max()), float(differences.mean()), tolerance))
            _judge(found[-1], card.precision, n, what, force)
    worst = max(found, key=lambda one: (one.max if card.precision == "fp32" else one.mean) / one.tolerance)
    return Parity(
        batches=BATCHES,
        max_difference=worst.max,
        mean_difference=worst.mean,
        tolerance=worst.tolerance,
        sides=tuple(_sides(card)) if card.image else (),
        torch=torch.__version__,
        onnxruntime=session.version,
    )


class Found(NamedTuple):
    """Differences on one batch, and what is allowed there."""

    max: float
    mean: float
    tolerance: float


class Trial(NamedTuple):
    """The graph's inputs for the first n rows, the network's for all rows, and which n to try."""

    feed: Callable[[int], dict[str, np.ndarray]]
    inputs: tuple[np.ndarray | None, ...]
    batches: tuple[int, ...]


def _of_seeds(card: Card, styled: bool) -> Iterator[Trial]:
    seeds = picture_seeds(0, max(BATCHES))
    labels = np.arange(len(seeds), dtype=np.int64) % max(1, len(card.data.classes))
    for truncation in (None, TRUNCATION) if _truncates(card) else (None,):

        def feed(n: int, truncation: float | None = truncation) -> dict[str, np.ndarray]:
            return card.feed_seeds(seeds[:n], labels[:n], truncation=truncation)

        latents = card.latent.from_seeds(seeds, truncation=None if styled else truncation)
        style = np.full((len(seeds), 1), truncation, np.float32) if styled and truncation is not None else None
        yield Trial(feed, (latents, labels[:, None] if card.labelled else None, style), BATCHES)


def _of_images(card: Card) -> Iterator[Trial]:
    """All batches at the smallest size, and single pictures at the others, which may be large."""
    for i, (height, width) in enumerate(_sides(card)):
        batches = (1,) if i else BATCHES
        noise = uniforms(picture_seeds(0, max(batches)), card.data.shape[0] * height * width)
        images = (2 * noise - 1).astype(np.float32).reshape(len(noise), -1, height, width)

        def feed(n: int, images: np.ndarray = images) -> dict[str, np.ndarray]:
            return card.feed_images(images[:n])

        yield Trial(feed, (images,), batches)


def _sides(card: Card) -> Iterator[tuple[int, int]]:
    """The smallest square, an oblong a step larger than twice that, and the training's own."""
    assert card.image is not None
    small, step = card.example(1)["image"].shape[-1], card.image.multiple
    yield from dict.fromkeys([(small, small), (small, 2 * small + step), card.trained_sides])


def _check_sides(expected: np.ndarray, feed: Mapping[str, np.ndarray], card: Card, what: str) -> None:
    if card.image is None:
        return
    given = feed[card.image.name].shape[2:]
    made, wanted = expected.shape[2:], tuple(card.scale * side for side in given)
    if made != wanted:
        raise GanforgeError(
            f"{what} makes {list(made)} of pictures of {list(given)}, and says that it makes {list(wanted)}"
        )


def _truncates(card: Card) -> bool:
    return any(one.role == "truncation" for one in card.inputs)


def _expected(frozen: Frozen, *inputs: np.ndarray | None) -> np.ndarray:
    """The network's samples, float32 [N, *shape]."""
    with torch.no_grad():
        samples: np.ndarray = frozen(*(None if one is None else torch.from_numpy(one) for one in inputs)).numpy()
    if not np.isfinite(samples).all():
        raise GanforgeError("the generator gives values that are not finite: its training has failed")
    return samples


def _tolerance(expected: np.ndarray, card: Card) -> float:
    return LOSS.get(card.precision, TOLERANCE) * max(1.0, float(np.abs(expected).max()))


def _differences(given: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute differences; of pixels, how much further than rounding they are off, in the same unit."""
    rounding, unit = 0.0, 1.0
    if given.dtype == np.uint8:
        expected = np.clip((expected + 1) * 127.5, 0, 255).transpose(0, 2, 3, 1)
        rounding, unit = 0.5, 127.5
    if given.shape != expected.shape:  # which numpy would broadcast away
        return np.full(1, np.inf)
    return np.maximum(np.abs(given - expected) - rounding, 0) / unit


def _judge(found: Found, precision: Precision, n: int, what: str, force: bool) -> None:
    if precision != "fp32" and not np.isfinite(found.mean):
        raise GanforgeError(f"{what} in {precision} gives values that are not finite, which nothing can force")
    if precision != "fp32" and not force and found.mean > found.tolerance:
        raise GanforgeError(
            f"{what} in {precision} differs from the network by {found.mean:.2g} on average (allowed: "
            f"{found.tolerance:.2g}); it can be forced"
        )
    if precision == "fp32" and not found.max <= found.tolerance:
        raise GanforgeError(
            f"{what} differs from the network by {found.max:.2g} on a batch of {n} (allowed: "
            f"{found.tolerance:.2g}); it must work alike at every batch size, each sample from its own latent"
        )


def _check(model: onnx.ModelProto, what: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise GanforgeError(f"{what} is not a valid ONNX model: {reason}") from error
