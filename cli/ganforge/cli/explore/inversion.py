"""The latent of a picture, found by gradient descent on what the generator makes of it.

Zhu et al. 2016 (arXiv 1609.03552, section 3) and Creswell and Bharath (arXiv 1611.05644, equations 1 and 3): minimise
the distance between G(z) and the picture, here in pixels and in features, less the weighted log-likelihood of z.
Several latents are followed at once, because the loss has many valleys; the best one counts. Where latents fill a cube,
a number that leaves it is drawn again (stochastic clipping: Lipton and Tripathi, arXiv 1702.04782, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.core.draw import hash64
from ganforge.core.evaluation import Extractor, Watch
from ganforge.core.latents import Latent


@dataclass(frozen=True)
class Search:
    """How a latent is searched for. `perceptual` weighs the features' distance, `prior` the likelihood of z."""

    steps: int = 500
    rate: float = 0.05
    perceptual: float = 0.1
    prior: float = 1e-3
    seed: int = 0


class Inverted(NamedTuple):
    """Latents float32 [restarts, width], what the generator makes of them, float32 [restarts, C, H, W] in [-1, 1], and
    their losses [restarts]."""

    latents: Tensor
    images: Tensor
    losses: Tensor

    @property
    def best(self) -> int:
        return int(self.losses.argmin())


def invert(
    network: Callable[[Tensor], Tensor],
    latent: Latent,
    picture: Tensor,
    begin: np.ndarray,
    search: Search,
    extractor: Extractor | None,
    watch: Watch,
) -> Inverted:
    """Follow latents from where they `begin`, [restarts, width].

    Args:
        network: latents [restarts, width] to images in [-1, 1], differentiable.
        picture: float32 [C, H, W] in [-1, 1].
        extractor: gives the features that are compared, if any are.
    """
    z = torch.from_numpy(begin).to(picture.device).requires_grad_()
    optimizer = torch.optim.Adam([z], search.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, search.steps)
    random = torch.Generator().manual_seed(hash64(search.seed, "invert"))
    distance = Distance(picture, extractor, search.perceptual)
    for step in range(search.steps):
        losses = distance(network(z)) - search.prior * log_likelihood(latent, z)
        (z.grad,) = torch.autograd.grad(losses.sum(), z)
        z.grad[:, latent.dim : latent.dim + sum(latent.categorical)] = 0  # categories stay
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            settle(latent, z, random)
        watch("steps of the search", step + 1, search.steps)
    with torch.no_grad():
        images = network(z)
        losses = distance(images) - search.prior * log_likelihood(latent, z)
    return Inverted(z.detach().cpu(), images.cpu(), losses.cpu())


class Distance:
    """From images [n, C, H, W] in [-1, 1] to their losses [n]: mean squared error in pixels, and in features over the
    mean square of the picture's own, so that one weight suits every extractor."""

    def __init__(self, picture: Tensor, extractor: Extractor | None, weight: float) -> None:
        self.picture, self.extractor, self.weight = picture, extractor, weight
        with torch.no_grad():
            self.features = None if extractor is None else self._embed(picture[None])

    def __call__(self, images: Tensor) -> Tensor:
        loss = (images - self.picture).square().flatten(1).mean(dim=1)
        if self.features is None:
            return loss
        apart = (self._embed(images) - self.features).square().mean(dim=1)
        return loss + self.weight * apart / self.features.square().mean()

    def _embed(self, images: Tensor) -> Tensor:
        assert self.extractor is not None
        return self.extractor.embed((images.clamp(-1, 1) + 1) * 127.5).features


def log_likelihood(latent: Latent, z: Tensor) -> Tensor:
    """Of z [n, width] by number, but for a constant: float32 [n]; zero where every latent is as likely."""
    if latent.name not in ("normal", "truncated-normal"):
        return z.new_zeros(len(z))
    return -z[:, : latent.dim].square().mean(dim=1) / 2


def settle(latent: Latent, z: Tensor, random: torch.Generator) -> None:
    """Bring latents back to where samples lie, in place; a number that left the cube is drawn again."""
    if latent.name == "uniform":
        inner = z[:, : latent.dim]
        drawn = (2 * torch.rand(inner.shape, generator=random) - 1).to(z.device)
        inner.copy_(torch.where(inner.abs() > 1, drawn, inner))
    z.copy_(within(latent, z))


def within(latent: Latent, z: Tensor) -> Tensor:
    """Any z [n, width] moved to where samples may lie: into the cube, onto the sphere, to the likeliest category."""
    inner, *kinds, codes = z.split([latent.dim, *latent.categorical, latent.continuous], dim=1)
    if latent.name == "uniform":
        inner = inner.clamp(-1, 1)
    elif latent.name == "truncated-normal":
        inner = inner.clamp(-latent.truncation, latent.truncation)
    elif latent.name == "sphere":
        inner = nn.functional.normalize(inner) * latent.dim**0.5
    likeliest = [nn.functional.one_hot(kind.argmax(dim=1), kind.shape[1]).to(z.dtype) for kind in kinds]
    return torch.cat([inner, *likeliest, codes.clamp(-1, 1)], dim=1)
