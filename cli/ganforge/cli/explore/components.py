"""Directions from what a layer says of many latents: GANSpace (Härkönen et al. 2020, arXiv 2004.02546, section 3.2).

Principal components of the activations y of N latents are found; then each is followed back to z, by the U that
minimises Σ ||U x - z||² over the coordinates x = Vᵀ (y - μ). Departures: U's columns are taken at length 1, so that
distances are those of other directions; N is thousands where the paper takes a million. Of a style-based generator,
the components of w itself are moved along, as in section 3.1 (`styles.py` has it as a function of w).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.core.draw import hash64
from ganforge.core.errors import GanforgeError, unknown
from ganforge.core.latents import Generator
from ganforge.export.directions import signed

MOST = 2**28  # activations kept at once: 1 GiB
SPARE = 10  # components more than asked for, which make the wanted ones exact


class Components(NamedTuple):
    """Unit vectors over z, float32 [k, dim], strongest first, and the share of the variance of each one's component."""

    directions: Tensor
    shares: Tensor


class _Seen(Exception):
    """The layer has spoken; the rest of the network need not run."""


def layer_of(network: nn.Module, name: str) -> nn.Module:
    """The layer called `name`.

    Raises:
        GanforgeError: there is none.
    """
    named = {known: layer for known, layer in network.named_modules() if not list(layer.children())}
    if name not in named:
        raise unknown("layer", name, named)
    return named[name]


def principal(generator: Generator, layer: nn.Module, k: int, samples: int, seed: int) -> Components:
    """The first `k` directions, of the layer's activations for `samples` latents of the seed.

    Raises:
        GanforgeError: the layer is not reached, or too large for so many samples.
    """
    latents, labels = generator.draw(seed, samples)
    found = activations(generator, layer, latents, labels)
    return components(found, torch.from_numpy(latents[:, : generator.latent.dim]), k, seed)


def activations(generator: Generator, layer: nn.Module, latents: np.ndarray, labels: np.ndarray | None) -> Tensor:
    """What a layer says of latents [n, width], and labels [n]: float32 [n, numbers of the layer].

    Raises:
        GanforgeError: the layer is not reached, or too large for so many latents.
    """
    samples, seen = len(latents), list[Tensor]()

    def look(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.detach().float().flatten(1).cpu())
        if seen[0].shape[1] * samples > MOST:
            raise GanforgeError(f"this layer has {seen[0].shape[1]} numbers; take fewer --samples than {samples}")
        raise _Seen

    hook = layer.register_forward_hook(look)
    try:
        for start in range(0, samples, 64):
            rows = slice(start, start + 64)
            try:
                generator.make(latents[rows], None if labels is None else labels[rows])
            except _Seen:
                continue
            raise GanforgeError("the generator does not pass through this layer; choose another --layer")
    finally:
        hook.remove()
    return torch.cat(seen)


def components(activations: Tensor, z: Tensor, k: int, seed: int = 0) -> Components:
    """Of activations [n, width] and the z [n, dim] they came from."""
    axes = main_axes(activations, k, seed)
    coordinates = (activations - activations.mean(dim=0)) @ axes.directions.T
    followed = torch.linalg.lstsq(coordinates.double(), (z - z.mean(dim=0)).double()).solution.float()
    return Components(signed(nn.functional.normalize(followed)), axes.shares)


def main_axes(points: Tensor, k: int, seed: int = 0) -> Components:
    """Principal components of points [n, width], over their own numbers."""
    centred = points - points.mean(dim=0)
    with torch.random.fork_rng():
        torch.manual_seed(hash64(seed, "components"))
        _, sizes, vectors = torch.pca_lowrank(centred, min(k + SPARE, *centred.shape), center=False, niter=4)
    return Components(signed(vectors.T[:k]), sizes[:k].square() / centred.square().sum())
