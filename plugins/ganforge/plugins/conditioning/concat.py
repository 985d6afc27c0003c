"""Labels beside what a network gets: z for the generator, the sample for the discriminator.

Mirza and Osindero 2014 (arXiv 1411.1784): one-hot labels. Their MLPs map z and labels to hidden layers of their
own first; here both enter the first layer. Images get one more channel for each number, the same at every
place, as in DCGAN-shaped conditional GANs since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganforge.core import Built
from ganforge.core.game import Critique, Generated
from ganforge.plugins.blocks.labelled import Labelled

Make = Callable[[Built], nn.Module]


def generator(dim: int | None, built: Built, make: Make) -> nn.Module:
    """The architecture's generator for a wider z. `dim` numbers are learned for a class; None: one-hot."""
    code = LabelCode(len(built.data.classes), dim)
    latent = built.latent.model_copy(update={"dim": built.latent.dim + code.width})
    return ConcatGenerator(make(replace(built, latent=latent)), code)


def discriminator(dim: int | None, built: Built, make: Make) -> nn.Module:
    """The architecture's discriminator for samples with more channels (or coordinates)."""
    code = LabelCode(len(built.data.classes), dim)
    first, *rest = built.data.shape
    data = built.data.model_copy(update={"shape": (first + code.width, *rest)})
    return ConcatDiscriminator(make(replace(built, data=data)), code)


class LabelCode(nn.Module):
    """Labels [N] to float32 [N, width]: one-hot, or learned numbers that start as N(0, 1)."""

    def __init__(self, classes: int, dim: int | None) -> None:
        super().__init__()
        self.width = dim or classes
        self.embedding = nn.Embedding(classes, dim) if dim else None

    def forward(self, labels: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(labels) if self.embedding else one_hot(labels, self.width).float()
        return embedded


class ConcatGenerator(Labelled):
    """G([z, code of y])."""

    def __init__(self, inner: nn.Module, code: LabelCode) -> None:
        super().__init__(inner)
        self.code = code

    def forward(self, z: Tensor, labels: Tensor, **style: Tensor) -> Generated:
        """`style` is what the inner generator takes beside z, such as a truncation."""
        generated: Generated = self.inner(torch.cat([z, self.code(labels)], dim=1), **style)
        return generated


class ConcatDiscriminator(Labelled):
    """D([x, code of y]): maps for images, coordinates for points."""

    def __init__(self, inner: nn.Module, code: LabelCode) -> None:
        super().__init__(inner)
        self.code = code

    def forward(self, x: Tensor, labels: Tensor) -> Critique:
        code = self.code(labels).unflatten(1, (-1, *[1] * (x.dim() - 2))).expand(-1, -1, *x.shape[2:])
        critique: Critique = self.inner(torch.cat([x, code], dim=1))
        return critique
