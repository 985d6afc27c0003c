"""A style-based generator as a function of w, the mapping network's output (Karras et al., arXiv 1812.04948).

One w goes into all layers. Labels, if there are any, enter before w.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.cli.explore.components import activations
from ganforge.core.errors import GanforgeError
from ganforge.core.game import Game
from ganforge.core.latents import Generator, Latent


class W(Latent):
    """As many numbers as w has; between two of them lies a line, as the mapping network was trained to make it."""

    def path(self, first: np.ndarray, last: np.ndarray, n: int, *, straight: bool | None = None) -> np.ndarray:
        return super().path(first, last, n, straight=straight is not False)


class Styled:
    """The averaged generator of a game, cut at w.

    Raises:
        GanforgeError: it has no styles.
    """

    def __init__(self, game: Game) -> None:
        found = [module for module in game.ema["generator"].modules() if _has_styles(module)]
        if not found:
            raise GanforgeError("this generator has no w, the space of styles; leave --space out")
        self.game = game
        self.inner: Any = found[0]

    @property
    def mean(self) -> Tensor:
        """The running mean of w, [1, width]."""
        mean: Tensor = self.inner.styles.mean[None]
        return mean

    def of(self, latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Latents [n, latent.width] and labels [n] to w, float32 [n, width]."""
        return activations(self.game.averaged_generator, self.inner.styles.mapping, latents, labels).numpy()

    def images(self, w: Tensor, truncation: float | None = None) -> Tensor:
        """w [n, width] to images float32 [n, C, H, W], differentiable; ψ is `truncation`."""
        styles = w[:, None].expand(-1, self.inner.styles.layers, -1)
        if truncation is not None:
            styles = self.inner.styles.truncated(styles, w.new_full((len(w), 1), truncation))
        images: Tensor = self.inner.synthesis(styles).float()
        return images

    @property
    def generator(self) -> Generator:
        """For callers who choose w in the place of the latent."""
        latent = W(dim=self.mean.shape[1])
        return Generator(latent, self.game.data, False, self._make, styled=True, draws=self._draw)

    @torch.no_grad()
    def _make(self, w: np.ndarray, labels: np.ndarray | None = None, truncation: float | None = None) -> np.ndarray:
        pieces = torch.from_numpy(w).to(self.game.device).split(self.game.sampled_at_once)
        return np.concatenate([self.images(piece, truncation).cpu().numpy() for piece in pieces])

    def _draw(self, seed: int, n: int, start: int) -> np.ndarray:
        return self.of(*self.game.averaged_generator.draw(seed, n, start))


def _has_styles(module: nn.Module) -> bool:
    return hasattr(module, "synthesis") and hasattr(getattr(module, "styles", None), "mean")
