"""Directions of z along which pictures change most: Shen and Zhou's SeFa (arXiv 2007.06600, equation 5).

They are the leading right singular vectors of the weight that z meets first. It is found without knowing the
architecture: the first layer whose output follows z is asked for its answers to z = 0 and to each unit vector.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from ganforge.core.latents import Latent
from ganforge.export.graph import Frozen

MOST = 8
WIDEST = 2048  # numbers of z up to which singular vectors take seconds
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def directions(frozen: Frozen, latent: Latent, *, labelled: bool) -> tuple[tuple[float, ...], ...]:
    """Unit vectors over z, at most 8, strongest first, each with its largest number positive.

    None where the first layer that follows z is no affine function of it, as when z is normalised on its way, and
    where there is no such layer.
    """
    found = first_layer(frozen, latent, labelled=labelled) if latent.dim <= WIDEST else None
    if found is None:
        return ()
    answers = found.answers
    weight = answers[1:-1] - answers[0]
    if not torch.allclose(answers[-1] - answers[0], weight.sum(dim=0) / 2):
        return ()
    strengths, vectors = torch.linalg.eigh(weight @ weight.T)
    # A network may show its first layer a part of z only: the rest has no strength.
    felt = vectors[:, strengths > 1e-9 * strengths.max()].T.flip(0)[:MOST]
    return tuple(tuple(round(number, 6) for number in one) for one in signed(felt).tolist())


def signed(vectors: Tensor) -> Tensor:
    """Vectors [k, dim], each turned so that its largest number is positive: which way it points is arbitrary."""
    return vectors * vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True)).sign()


class FirstLayer(Exception):
    """The name of the first layer that follows z, and its answers [dim + 2, outputs] to 0, to each unit vector, and to
    half the sum of all; raised because the rest of the network need not run."""

    def __init__(self, name: str, answers: Tensor) -> None:
        self.name, self.answers = name, answers


def first_layer(frozen: Frozen, latent: Latent, *, labelled: bool) -> FirstLayer | None:
    """The first linear layer or convolution whose output follows z, if there is one."""
    dim = latent.dim
    network = copy.deepcopy(frozen).double()
    network.dtype = torch.float64

    def look(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if len(output) == dim + 2 and not torch.equal(output, output[:1].expand_as(output)):
            raise FirstLayer(name, output.flatten(1))

    for name, layer in network.generator.named_modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(partial(look, name))
    z = torch.cat([torch.zeros(1, dim), torch.eye(dim), torch.full((1, dim), 0.5)])
    latents = torch.cat([z, torch.zeros(dim + 2, latent.codes)], dim=1)
    try:
        with torch.no_grad():
            network(latents, torch.zeros(dim + 2, 1, dtype=torch.int64) if labelled else None)
    except FirstLayer as found:
        return found
    return None
