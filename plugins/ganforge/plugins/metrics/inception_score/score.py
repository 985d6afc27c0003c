"""The score of Salimans et al. (arXiv 1606.03498, section 4), in float64, with the splits of their code.

torchmetrics' differs: float32, splits of other sizes, of which there can be fewer than asked for, a deviation over
n - 1, and not a number where a class's probability rounds to zero everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core.draw import hash64
from ganforge.core.evaluation import Judged


class InceptionScore:
    """From logits [n, classes] of generated samples to `is` and `is_std`, mean and deviation over the splits.

    A split's score is exp E KL(p(y|x) ‖ p(y)), as exp(H(E p) - E H(p)), which takes probabilities of zero: sums of
    probabilities and of entropies are all that is kept of samples. These are shuffled by the seed first: generators
    may be asked for one class after the other.
    """

    def __init__(self, splits: int, samples: int, classes: int, seed: int) -> None:
        order = torch.randperm(samples, generator=torch.Generator().manual_seed(hash64(seed, "inception-score")))
        ends = torch.tensor([samples * split // splits for split in range(1, splits + 1)])
        self.split = torch.empty_like(order)  # of each sample in the order they come
        self.split[order] = torch.bucketize(torch.arange(samples), ends, right=True)
        self.seen = 0
        self.probabilities = torch.zeros(splits, classes, dtype=torch.float64)
        self.entropies = torch.zeros(splits, dtype=torch.float64)

    def update(self, batch: Judged, real: bool) -> None:
        if real:
            return
        assert batch.logits is not None
        p = batch.logits.double().softmax(dim=1)
        split = self.split[self.seen : self.seen + len(p)]
        self.seen += len(p)
        self.probabilities.index_add_(0, split, p)
        self.entropies.index_add_(0, split, _entropy(p))

    def compute(self) -> dict[str, Tensor]:
        counts = torch.bincount(self.split)
        scores = (_entropy(self.probabilities / counts[:, None]) - self.entropies / counts).exp()
        return {"is": scores.mean(), "is_std": scores.std(unbiased=False)}


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(dim=-1)
