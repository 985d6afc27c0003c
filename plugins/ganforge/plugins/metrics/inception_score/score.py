"""The score of Salimans et al. (arXiv 1606.03498, section 4), in float64, with the splits of their code.

torchmetrics' differs: float32, splits of other sizes, of which there can be fewer than asked for, a deviation over
n - 1, and not a number where a class's probability rounds to zero everywhere.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ganforge.core.draw import hash64
from ganforge.core.evaluation import Judged


class InceptionScore:
    """From logits [n, classes] of generated samples to `is` and `is_std`, mean and deviation over the splits.

    Samples are shuffled by the seed first: generators may be asked for one class after the other.
    """

    def __init__(self, splits: int, seed: int) -> None:
        self.splits, self.seed = splits, seed
        self.logits: list[Tensor] = []

    def update(self, batch: Judged, real: bool) -> None:
        if not real:
            assert batch.logits is not None
            self.logits.append(batch.logits)

    def compute(self) -> dict[str, Tensor]:
        logits = torch.cat(self.logits)
        n, random = len(logits), torch.Generator().manual_seed(hash64(self.seed, "inception-score"))
        shuffled = logits[torch.randperm(n, generator=random)]
        bounds = [n * split // self.splits for split in range(self.splits + 1)]
        scores = torch.stack([inception_score(shuffled[low:high]) for low, high in pairwise(bounds)])
        return {"is": scores.mean(), "is_std": scores.std(unbiased=False)}


def inception_score(logits: Tensor) -> Tensor:
    """exp E KL(p(y|x) ‖ p(y)) of logits [n, classes], as exp(H(E p) - E H(p)), which takes probabilities of zero."""
    p = logits.double().softmax(dim=1)
    return (_entropy(p.mean(dim=0)) - _entropy(p).mean()).exp()


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(dim=-1)
