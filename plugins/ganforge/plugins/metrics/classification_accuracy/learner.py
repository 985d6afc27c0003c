"""A classifier taught by one side and asked by the other."""

from __future__ import annotations

import logging

import numpy as np
import torch

from ganforge.core import ArrayData, DataSpec
from ganforge.core.evaluation import Judged
from ganforge.plugins.blocks.classifier import fresh
from ganforge.plugins.blocks.settings import ClassifierOptions

log = logging.getLogger("ganforge")


class Learner:
    """From labelled images uint8 [n, C, H, W] of both sides, which are kept, to `cas` in [0, 1]."""

    def __init__(self, options: ClassifierOptions, spec: DataSpec) -> None:
        self.options, self.spec = options, spec
        self.kept: dict[bool, list[tuple[np.ndarray, np.ndarray]]] = {True: [], False: []}

    def update(self, batch: Judged, real: bool) -> None:
        assert batch.samples is not None
        assert batch.labels is not None
        self.kept[real].append((batch.samples.cpu().numpy(), batch.labels.numpy()))

    def compute(self) -> dict[str, float]:
        log.warning("training a classifier on these samples: a minute or two")
        learned, asked = self._data(real=False), self._data(real=True)
        with torch.random.fork_rng():
            classifier = fresh(self.spec, self.options)
            random = np.random.default_rng(self.options.seed)
            classifier.learn(learned, np.arange(len(learned)), self.options, random)
        return {"cas": classifier.measure(asked, np.arange(len(asked)))}

    def _data(self, *, real: bool) -> ArrayData:
        images, labels = (np.concatenate(parts) for parts in zip(*self.kept[real], strict=True))
        return ArrayData(self.spec, images, labels)
