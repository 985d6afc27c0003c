"""`mlp`'s networks: linear layers only, for images (flattened) and points alike."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from ganforge.core import Built, DataSpec
from ganforge.core.game import Critique, Generated, Networks
from ganforge.plugins.papers.vanilla.stacks import Layers, MlpOptions


def build(options: MlpOptions, built: Built) -> Networks:
    """Both networks, with PyTorch's own initialisation, as in the tutorials; any data will do."""
    return Networks(
        Generator(built.latent.width, built.data, options.generator),
        Discriminator(built.data, options.discriminator),
    )


class Generator(nn.Module):
    """z [N, width] → hidden layers → samples [N, *shape]: images through tanh, points in units of their extent."""

    def __init__(self, width: int, data: DataSpec, layers: Layers) -> None:
        super().__init__()
        self.shape, self.extent = data.shape, data.extent
        self.hidden = hidden(width, layers)
        self.output = nn.Linear(layers.hidden[-1], math.prod(data.shape))
        self.squash = nn.Tanh() if data.kind == "images" else nn.Identity()

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.extent * self.squash(self.output(self.hidden(z))).unflatten(1, self.shape))


class Discriminator(nn.Module):
    """Samples [N, *shape] → hidden layers → logits [N]; features: the last hidden layer, [N, width]."""

    def __init__(self, data: DataSpec, layers: Layers) -> None:
        super().__init__()
        self.extent = data.extent
        self.hidden = hidden(math.prod(data.shape), layers)
        self.output = nn.Linear(layers.hidden[-1], 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.hidden(x.flatten(1) / self.extent)
        return Critique(self.output(features).flatten(), features)


def hidden(inputs: int, layers: Layers) -> nn.Sequential:
    """The hidden layers over `inputs` numbers."""
    modules: list[nn.Module] = []
    for place, (before, after) in enumerate(pairwise((inputs, *layers.hidden))):
        modules.append(nn.Linear(before, after))
        if layers.norm == "batch" and place > 0:
            modules.append(nn.BatchNorm1d(after, layers.norm_eps))
        modules.append(nn.LeakyReLU(layers.leak, inplace=True) if layers.leak else nn.ReLU(inplace=True))
        if layers.dropout:
            modules.append(nn.Dropout(layers.dropout))
    return nn.Sequential(*modules)
