"""The networks of Brock et al. (arXiv 1809.11096, appendix B, figure 15 and tables 4 and 5)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganforge.core import Built, DataSpec, GanforgeError
from ganforge.core.game import Generated, Networks
from ganforge.plugins.blocks.pyramids import FIRST_SIDE, Plan, PyramidCritic, attention_at, plan
from ganforge.plugins.blocks.residual import UpBlock, image_layers
from ganforge.plugins.papers.biggan import BigganOptions

N = TypeVar("N", bound=nn.Module)


def build(options: BigganOptions, built: Built) -> Networks:
    """Both networks for square images.

    Raises:
        GanforgeError: for points, for other sizes, for attention at a size that is not there, and for a z with
            fewer numbers than pieces.
    """
    chosen = plan("biggan", built.data, options.attention)
    pieces = len(chosen.up)
    if built.latent.width < pieces:
        raise GanforgeError(
            f"option 'latent.dim': architecture 'biggan' cuts z into {pieces} pieces for this size; it needs at "
            f"least {pieces} numbers, not {built.latent.width}"
        )
    classes = len(built.data.classes) if "generator" in built.labelled else 0
    return Networks(
        orthogonal(Generator(built.data, chosen, piece_widths(built.latent.width, pieces), classes, options)),
        orthogonal(PyramidCritic(built.data, chosen, options.width, options.attention)),
    )


def piece_widths(width: int, pieces: int) -> list[int]:
    """How z is cut: one piece for the norms of each block, the last for the first maps; what is left over too.

    What a conditioning or a code adds to z stands at its end, and so enters where everything begins.
    """
    return [width // pieces] * (pieces - 1) + [width // pieces + width % pieces]


def orthogonal(network: N) -> N:
    """The network with orthogonal weights (Saxe et al. 2013, arXiv 1312.6120) and no biases to start with."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(layer.weight)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network


class Generator(nn.Module):
    """z [N, latent] and labels [N] → image [N, channels, s, s].

    The last piece of z makes the maps of 4×4, each other one goes with the class's embedding to the norms of a
    block that doubles the map. Attention follows one of the blocks.
    """

    def __init__(self, data: DataSpec, chosen: Plan, pieces: list[int], classes: int, options: BigganOptions) -> None:
        super().__init__()
        self.pieces = pieces
        self.shared = nn.Embedding(classes, options.embedding) if classes else None
        widths = [multiple * options.width for multiple in chosen.up]
        self.project = nn.Linear(pieces[-1], widths[0] * FIRST_SIDE**2)
        self.blocks, self.attention = nn.ModuleList(), nn.ModuleList()
        for place, (inputs, outputs) in enumerate(pairwise(widths)):
            norm = partial(ConditionalNorm, condition=pieces[place] + (options.embedding if classes else 0))
            self.blocks.append(UpBlock(inputs, outputs, norm))
            self.attention.append(attention_at(FIRST_SIDE * 2 ** (place + 1), options.attention, outputs))
        self.output = image_layers(widths[-1], data.shape[0])

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        *pieces, first = z.split(self.pieces, dim=1)
        embedded = [] if self.shared is None else [self.shared(labels)]
        maps = self.project(first).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        for block, attention, piece in zip(self.blocks, self.attention, pieces, strict=True):
            maps = attention(block(maps, torch.cat([*embedded, piece], dim=1)))
        return Generated(self.output(maps))


class ConditionalNorm(nn.Module):
    """Batch norm of maps [N, C, h, w], then (1 + gain(c)) x + bias(c), both linear in c [N, condition]."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = (nn.Linear(condition, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = (layer(condition)[:, :, None, None] for layer in (self.gain, self.bias))
        normalised: Tensor = self.norm(x) * (1 + gain) + bias
        return normalised
