"""Pairs of samples that have nothing but their class in common, and torchmetrics' similarity of each."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from the finest; Wang et al., section 3.2


class PairSimilarity:
    """From generated images uint8 [n, C, H, W] to `ms_ssim_2scales` or the like: the mean over pairs.

    A class's samples are paired in their order, which for generated ones is that of independent latents.
    """

    def __init__(self, scales: int) -> None:
        self.scales = scales
        self.weights = tuple(weight / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales])
        module = import_with_torchvision("torchmetrics.functional.image")
        self.similarity = module.multiscale_structural_similarity_index_measure
        self.waiting: dict[int, Tensor] = {}
        self.total, self.pairs = 0.0, 0

    def update(self, batch: Judged, real: bool) -> None:
        if real:
            return
        assert batch.samples is not None
        classes = [0] * len(batch.samples) if batch.labels is None else batch.labels.tolist()
        first: list[Tensor] = []
        second: list[Tensor] = []
        for image, label in zip(batch.samples, classes, strict=True):
            if label in self.waiting:
                first.append(self.waiting.pop(label))
                second.append(image)
            else:
                self.waiting[label] = image
        if first:
            self._compare(torch.stack(first).float(), torch.stack(second).float())

    def compute(self) -> dict[str, float]:
        if not self.pairs:
            raise GanforgeError("metric 'ms-ssim' needs two samples of a class, and no class has two: judge more")
        return {f"ms_ssim_{self.scales}scale{'s' * (self.scales > 1)}": self.total / self.pairs}

    def _compare(self, first: Tensor, second: Tensor) -> None:
        found = self.similarity(first, second, data_range=255.0, betas=self.weights, reduction="sum")
        self.total += float(found)
        self.pairs += len(first)
