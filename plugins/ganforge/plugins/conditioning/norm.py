"""Conditional batch norm: Dumoulin et al. (arXiv 1610.07629, equation 5), as in Miyato and Koyama (1802.05637)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganforge.core import Built, GanforgeError
from ganforge.core.game import Generated
from ganforge.plugins.blocks.labelled import Labelled

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def generator(built: Built, make: Callable[[Built], nn.Module]) -> nn.Module:
    """The architecture's generator with every batch norm made conditional.

    Raises:
        GanforgeError: it has none.
    """
    network, labels = make(built), Labels()
    found = [
        (parent, name, norm)
        for parent in network.modules()
        for name, norm in parent.named_children()
        if isinstance(norm, NORMS)
    ]
    if not found:
        raise GanforgeError(
            "option 'generator.conditioning': this generator has no batch norm to condition; set it to concat"
        )
    for parent, name, norm in found:
        setattr(parent, name, ConditionalBatchNorm(norm, len(built.data.classes), labels))
    return ConditionedNorms(network, labels)


class Labels:
    """The labels of the batch in the network: the one thing its norms share. Empty outside a forward pass."""

    now: Tensor | None = None


class ConditionalBatchNorm(nn.Module):
    """γ_y (x - μ) / σ + β_y: statistics over all classes, scale and shift for each.

    Every class starts from the scale and shift that the norm had, if it had them.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, classes: int, labels: Labels) -> None:
        super().__init__()
        self.labels = labels
        self.norm = type(norm)(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.scale, self.shift = (nn.Embedding(classes, norm.num_features) for _ in range(2))
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)
        if norm.affine:
            self.scale.weight.data.copy_(norm.weight.data.expand(classes, -1))
            self.shift.weight.data.copy_(norm.bias.data.expand(classes, -1))

    def forward(self, x: Tensor) -> Tensor:
        places = (-1, *[1] * (x.dim() - 2))
        scale, shift = (table(self.labels.now).unflatten(1, places) for table in (self.scale, self.shift))
        normalised = self.norm(x)
        # Scaled in fp32, as batch norm scales, and given on in the maps' precision.
        return torch.addcmul(shift, normalised.float(), scale).to(normalised.dtype)


class ConditionedNorms(Labelled):
    """A generator whose norms see the labels."""

    def __init__(self, inner: nn.Module, labels: Labels) -> None:
        super().__init__(inner)
        self.labels = labels

    def forward(self, z: Tensor, labels: Tensor, **style: Tensor) -> Generated:
        """`style` is what the inner generator takes beside z, such as a truncation."""
        self.labels.now = labels
        try:
            generated: Generated = self.inner(z, **style)
        finally:
            self.labels.now = None
        return generated
