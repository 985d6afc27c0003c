"""Directions of z along which pictures change most: Shen and Zhou's SeFa (arXiv 2007.06600, equation 5).

They are the leading right singular vectors of the weight that z meets first. It is found without knowing the
architecture: the first layer whose output follows z is asked for its answers to z = 0 and to each unit vector.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ganforge.core.card import Card
from ganforge.export.graph import Frozen

MOST = 8
WIDEST = 2048  # numbers of z up to which singular vectors take seconds
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def directions(frozen: Frozen, card: Card) -> tuple[tuple[float, ...], ...]:
    """Unit vectors over z, at most 8, strongest first, each with its largest number positive.

    None where the first layer that follows z is no affine function of it, as when z is normalised on its way, and
    where there is no such layer.
    """
    answers = _answers(frozen, card) if card.latent.dim <= WIDEST else None
    if answers is None:
        return ()
    weight = answers[1:-1] - answers[0]
    if not torch.allclose(answers[-1] - answers[0], weight.sum(dim=0) / 2):
        return ()
    strengths, vectors = torch.linalg.eigh(weight @ weight.T)
    # A network may show its first layer a part of z only: the rest has no strength.
    felt = vectors[:, strengths > 1e-9 * strengths.max()].T.flip(0)[:MOST]
    largest = felt.gather(1, felt.abs().argmax(dim=1, keepdim=True))
    return tuple(tuple(round(number, 6) for number in one) for one in (felt * largest.sign()).tolist())


class _Found(Exception):
    """The answers, [dim + 2, outputs]; the rest of the network need not run."""

    def __init__(self, answers: Tensor) -> None:
        self.answers = answers


def _answers(frozen: Frozen, card: Card) -> Tensor | None:
    """What the first layer that follows z answers to 0, to each unit vector, and to half the sum of all."""
    dim = card.latent.dim
    network = copy.deepcopy(frozen).double()
    network.dtype = torch.float64

    def look(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if len(output) == dim + 2 and not torch.equal(output, output[:1].expand_as(output)):
            raise _Found(output.flatten(1))

    for layer in network.modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(look)
    z = torch.cat([torch.zeros(1, dim), torch.eye(dim), torch.full((1, dim), 0.5)])
    latents = torch.cat([z, torch.zeros(dim + 2, card.latent.codes)], dim=1)
    try:
        with torch.no_grad():
            network(latents, torch.zeros(dim + 2, 1, dtype=torch.int64) if card.labelled else None)
    except _Found as found:
        return found.answers
    return None
