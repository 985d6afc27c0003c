"""The path length of StyleGAN (arXiv 1812.04948, section 4.1): E [d²(G(z(t)), G(z(t + ε))) / ε²] between two latents.

Everything but the two networks is computed in float64. Their float32 costs less than a hundredth of the figure at the
paper's ε of 1e-4, and more below.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganforge.core import GanforgeError, Latent
from ganforge.core.draw import hash64
from ganforge.core.evaluation import Case, Judged
from ganforge.core.latents import spherical

PAIRS = 50  # of latents at once
REJECTED = 1  # per cent, at each end


class PathLength:
    """From the generator and the extractor to `ppl`; samples are not looked at."""

    def __init__(self, case: Case, epsilon: float) -> None:
        self.case, self.epsilon = case, epsilon
        if case.generator is not None and case.generator.rounds:
            raise GanforgeError(
                "metric 'perceptual-path-length' compares pictures that differ by less than a pixel's step, and this "
                "file rounds its own; export it with --inputs z --pixels float32 --precision fp32"
            )
        try:
            self._embed(np.zeros((1, *case.data.spec.shape), np.float32))
        except NotImplementedError:
            raise GanforgeError(
                "metric 'perceptual-path-length' compares pictures that differ by less than a pixel's step, and these "
                "features are of whole pixels only; choose other --features"
            ) from None

    def update(self, batch: Judged, real: bool) -> None:
        pass

    def compute(self) -> dict[str, float]:
        at = np.random.default_rng(hash64(self.case.seed, "path length", "t")).random(self.case.samples)
        lengths: list[np.ndarray] = []
        for start in range(0, len(at), PAIRS):
            lengths.append(self._lengths(start, at[start : start + PAIRS]))
            self.case.watch("generated, in pairs", start + len(lengths[-1]), len(at))
        return {"ppl": cropped_mean(np.concatenate(lengths))}

    def _lengths(self, start: int, t: np.ndarray) -> np.ndarray:
        """Squared distances over ε², float64 [n], of the pairs from `start` at their places t [n]."""
        generator, n = self.case.generator, len(t)
        assert generator is not None
        first, labels = generator.draw(hash64(self.case.seed, "path length", "first"), n, start)
        second, _ = generator.draw(hash64(self.case.seed, "path length", "second"), n, start)
        latents = [between(generator.latent, first, second, at).astype(np.float32) for at in (t, t + self.epsilon)]
        both = None if labels is None else np.concatenate([labels, labels])
        here, there = self._embed(generator.make(np.concatenate(latents), both)).chunk(2)
        return ((here - there).square().sum(dim=1) / self.epsilon**2).numpy()

    @torch.no_grad()
    def _embed(self, images: np.ndarray) -> Tensor:
        """Features float64 [n, dim] of float32 images in [-1, 1]; those beyond are shown as their nearest."""
        assert self.case.extractor is not None
        pixels = (torch.from_numpy(images).to(self.case.device).clamp(-1, 1) + 1) * 127.5
        return self.case.extractor.embed(pixels).features.cpu().double()


def cropped_mean(lengths: np.ndarray) -> float:
    """The mean without what lies outside of the first and the last percentile, as StyleGAN's code rejects outliers."""
    low = np.percentile(lengths, REJECTED, method="lower")
    high = np.percentile(lengths, 100 - REJECTED, method="higher")
    return float(lengths[(low <= lengths) & (lengths <= high)].mean())


def between(latent: Latent, first: np.ndarray, second: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Latents [n, width] at places t [n] of the ways from `first` to `second`: float64 [n, width].

    Normal and spherical ones are interpolated along the sphere, uniform ones and uniform codes in a line; categories
    stay the first's.
    """
    first, second, t = first.astype(np.float64), second.astype(np.float64), t[:, None]
    way = first + t * (second - first)
    categories = slice(latent.dim, latent.dim + sum(latent.categorical))
    way[:, categories] = first[:, categories]
    if latent.name != "uniform":
        z = slice(0, latent.dim)
        way[:, z] = spherical(first[:, z], second[:, z], t)
    return way
