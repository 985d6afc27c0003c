"""Triples of classes, counted."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.classifier import Classifier

OFTEN = 5


class Triples:
    """From generated images uint8 [n, channels, H, W], of which each channel is a picture, to modes and divergence."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier.eval()
        self.provenance = {"weights": classifier.weights}
        self.counts = torch.zeros(0, dtype=torch.int64)

    def update(self, batch: Judged, real: bool) -> None:
        if real:
            return
        assert batch.samples is not None
        channels, classes = batch.samples.shape[1], self.classifier.classes
        logits = self.classifier(batch.samples.flatten(0, 1)[:, None]).logits
        assert logits is not None
        seen = logits.argmax(dim=1).view(-1, channels).cpu()
        triples = seen @ classes ** torch.arange(channels).flip(0)
        self.counts = torch.bincount(triples, minlength=classes**channels) + (self.counts if len(self.counts) else 0)

    def compute(self) -> dict[str, float]:
        return {**count(self.counts), "classifier_accuracy": float(self.classifier.accuracy)}


def count(counts: Tensor) -> dict[str, float]:
    """Figures of how often each mode was seen, int64 [modes].

    Returns:
        modes: how many at least once; modes_5_times: at least five times; modes_of: out of how many; reverse_kl:
        KL(shares ‖ equal shares) in nats, 0 for equal shares and log(modes_of) for a single mode.
    """
    shares = counts[counts > 0].double() / counts.sum()
    return {
        "modes": int((counts > 0).sum()),
        f"modes_{OFTEN}_times": int((counts >= OFTEN).sum()),
        "modes_of": len(counts),
        "reverse_kl": float((shares * (shares * len(counts)).log()).sum()),
    }
