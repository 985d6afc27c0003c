"""How near samples are to the training pictures, beside how near held-out pictures are to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganforge.core.data import Data
from ganforge.core.evaluation import Watch
from ganforge.core.seer import Seer
from ganforge.plugins.blocks.distances import ROWS, Neighbours, nearest, neighbours

CLOSE = 0.05  # so many held-out pictures are called close to the training data


@dataclass(frozen=True)
class Nearness:
    """The nearest training pictures of samples [n, k], and the nearest distance of each held-out picture [m].

    Distances in pixels are root mean squares, in grey levels of 0 to 255; in features they are Euclidean.
    """

    space: str
    samples: Neighbours
    held_out: Tensor

    @property
    def nearest(self) -> Tensor:
        return self.samples.distances[:, 0]

    def figures(self) -> dict[str, float | str]:
        """Medians of both, and the share of samples nearer than the nearest 5% of held-out pictures are.

        A generator whose samples are as new as held-out pictures has a share of 0.05; one that remembers, up to 1.
        """
        close = self.held_out.quantile(CLOSE)
        return {
            "space": self.space,
            "samples": float(self.nearest.median()),
            "held_out": float(self.held_out.median()),
            "close": float((self.nearest < close).double().mean()),
            "identical": float((self.nearest == 0).double().mean()),
        }


def in_pixels(samples: np.ndarray, held_out: np.ndarray, training: Data, k: int, watch: Watch) -> Nearness:
    """Of uint8 samples [n, C, H, W] and held-out pictures; training ones are fetched a few thousand at a time."""

    def flat(pixels: np.ndarray) -> Tensor:
        return torch.from_numpy(pixels).flatten(1).double() / pixels[0].size ** 0.5

    def parts() -> Iterator[Tensor]:
        for start in range(0, len(training), ROWS):
            rows = np.arange(start, min(start + ROWS, len(training)))
            yield flat(training.fetch(rows)[0])
            watch("pixels of training pictures", int(rows[-1]) + 1, len(training))

    found = neighbours(torch.cat([flat(samples), flat(held_out)]), parts(), k)
    return _split("pixels", found, len(samples))


def in_features(
    samples: np.ndarray, held_out: np.ndarray, test: Data, training: Data, k: int, seer: Seer, batch: int, watch: Watch
) -> Nearness:
    """Of uint8 samples, and of pictures of the test split by their numbers; real features are kept on disk."""
    known = seer.whole("features of training pictures", training, batch, watch).features
    real = seer.whole("features of held-out pictures", test, batch, watch, held_out).features
    pieces = torch.from_numpy(samples).to(seer.device).split(batch)
    made = torch.cat([seer.extractor(piece).features.cpu() for piece in pieces])
    return _split(seer.name, nearest(torch.cat([made, real]), known, k), len(samples))


def _split(space: str, found: Neighbours, n: int) -> Nearness:
    return Nearness(space, Neighbours(found.distances[:n], found.numbers[:n]), found.distances[n:, 0])
