"""The proof: the graph is valid, is the one the card describes, and gives what the network gives."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from ganforge.core.card import Card, Parity
from ganforge.core.errors import GanforgeError
from ganforge.export.graph import Frozen
from ganforge.serve.runtime import Session

BATCHES = (1, 2, 7, 16)
TOLERANCE = 1e-4
"""Largest difference allowed, of a range of 1: images' 255 levels are 78 times as far apart."""


def prove(model: onnx.ModelProto, frozen: Frozen, card: Card) -> Parity:
    """Run the graph in onnxruntime beside the network in torch.

    The network runs once, on the largest batch; smaller batches must repeat its first rows. So the proof also
    says that no sample depends on its neighbours, without which one seed would not be one picture.

    Raises:
        GanforgeError: the first of these that does not hold.
    """
    what = f"the export of architecture '{card.architecture}'"
    _check(model, what)
    session = Session(model.SerializeToString(), what)
    session.check(card)
    latents = card.latent.sample(0, max(BATCHES))
    labels = np.arange(len(latents), dtype=np.int64) % max(1, len(card.data.classes))
    with torch.no_grad():
        expected = frozen(**{k: torch.from_numpy(v) for k, v in card.feed(latents, labels).items()}).numpy()
    if not np.isfinite(expected).all():
        raise GanforgeError("the generator gives values that are not finite: its training has failed")
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    differences = []
    for n in BATCHES:
        differences.append(_difference(session.run(card.feed(latents[:n], labels[:n])), expected[:n]))
        if not differences[-1] <= tolerance:
            raise GanforgeError(
                f"{what} differs from the network by {differences[-1]:.2g} on a batch of {n} (allowed: "
                f"{tolerance:.2g}); it must work alike at every batch size, each sample from its own latent"
            )
    return Parity(
        batches=BATCHES,
        max_difference=max(differences),
        tolerance=tolerance,
        torch=torch.__version__,
        onnxruntime=session.version,
    )


def _difference(given: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute difference; infinite where shapes differ, which numpy would broadcast away."""
    return float(np.abs(given - expected).max()) if given.shape == expected.shape else float("inf")


def _check(model: onnx.ModelProto, what: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise GanforgeError(f"{what} is not a valid ONNX model: {reason}") from error
