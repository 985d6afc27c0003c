"""Classes asked for against classes seen."""

from __future__ import annotations

from ganforge.core.evaluation import Judged


class ConditionalAccuracy:
    """The share in [0, 1] of generated samples whose largest logit is that of their label."""

    def __init__(self) -> None:
        self.right, self.seen = 0, 0

    def update(self, batch: Judged, real: bool) -> None:
        if real:
            return
        assert batch.labels is not None
        assert batch.logits is not None
        self.right += int((batch.logits.argmax(dim=1) == batch.labels).sum())
        self.seen += len(batch.labels)

    def compute(self) -> dict[str, float]:
        return {"conditional_accuracy": self.right / self.seen}
