"""The proof: the graph is valid, is the one the card describes, and gives what the network gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import torch

from ganforge.core.card import Card, Parity, Precision
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import picture_seeds
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
    says that no sample depends on its neighbours, without which one seed would not be one picture.

    Args:
        force: accept what a lower precision costs, however much.

    Raises:
        GanforgeError: the first of these that does not hold.
    """
    what = f"the export of architecture '{card.architecture}'"
    _check(model, what)
    session = Session(model.SerializeToString(), what)
    session.check(card)
    seeds = picture_seeds(0, max(BATCHES))
    labels = np.arange(len(seeds), dtype=np.int64) % max(1, len(card.data.classes))
    found, tolerance = [], 0.0
    for truncation in (None, TRUNCATION) if _truncates(card) else (None,):
        expected = _expected(frozen, card, seeds, labels, truncation)
        tolerance = _tolerance(expected, card)
        for n in BATCHES:
            given = session.run(card.feed_seeds(seeds[:n], labels[:n], truncation=truncation))
            found.append(_differences(given, expected[:n]))
            if not force or card.precision == "fp32":
                _judge(found[-1], tolerance, card.precision, n, what)
    return Parity(
        batches=BATCHES,
        max_difference=max(float(one.max()) for one in found),
        mean_difference=max(float(one.mean()) for one in found),
        tolerance=tolerance,
        torch=torch.__version__,
        onnxruntime=session.version,
    )


def _truncates(card: Card) -> bool:
    return any(one.role == "truncation" for one in card.inputs)


def _expected(
    frozen: Frozen, card: Card, seeds: np.ndarray, labels: np.ndarray, truncation: float | None
) -> np.ndarray:
    """The network's samples, float32 [N, *shape]."""
    latents = torch.from_numpy(card.latent.from_seeds(seeds, truncation=None if frozen.styled else truncation))
    style = torch.full((len(seeds), 1), truncation) if frozen.styled and truncation is not None else None
    with torch.no_grad():
        samples = frozen(latents, torch.from_numpy(labels[:, None]) if card.labelled else None, style).numpy()
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


def _judge(differences: np.ndarray, tolerance: float, precision: Precision, n: int, what: str) -> None:
    if precision != "fp32" and not differences.mean() <= tolerance:
        raise GanforgeError(
            f"{what} in {precision} differs from the network by {differences.mean():.2g} on average (allowed: "
            f"{tolerance:.2g}); it can be forced"
        )
    if precision == "fp32" and not differences.max() <= tolerance:
        raise GanforgeError(
            f"{what} differs from the network by {differences.max():.2g} on a batch of {n} (allowed: "
            f"{tolerance:.2g}); it must work alike at every batch size, each sample from its own latent"
        )


def _check(model: onnx.ModelProto, what: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise GanforgeError(f"{what} is not a valid ONNX model: {reason}") from error
