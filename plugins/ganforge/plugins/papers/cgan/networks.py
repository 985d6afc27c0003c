"""The networks of Mirza and Osindero (arXiv 1411.1784, section 4.1): z (or x) and y meet in a joint hidden layer.

Where the labels are not theirs to take, they are built without y's layer. Inside, images are in [0, 1] as in the paper,
whose learning rate of 0.1 diverges on [-1, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganforge.core import Built
from ganforge.core.game import Critique, Generated, Networks
from ganforge.plugins.papers.cgan import CganOptions


def build(options: CganOptions, built: Built) -> Networks:
    """Both networks for any data."""
    return Networks(Generator(options, built), Discriminator(options, built))


class Joint(nn.Module):
    """([N, inputs], labels [N]) → a hidden layer for each → both side by side; labels are one-hot."""

    def __init__(self, over_input: nn.Module, over_label: nn.Module | None, classes: int) -> None:
        super().__init__()
        self.over_input, self.over_label, self.classes = over_input, over_label, classes

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        hidden: Tensor = self.over_input(x)
        if self.over_label is None:
            return hidden
        assert labels is not None
        return torch.cat([hidden, self.over_label(one_hot(labels, self.classes).float())], dim=1)


class Generator(nn.Module):
    """z [N, latent] → 200 and y → 1000 ReLU units → 1200 → samples [N, *shape]; images through a sigmoid."""

    def __init__(self, options: CganOptions, built: Built) -> None:
        super().__init__()
        self.shape, classes = built.data.shape, len(built.data.classes)
        drop, label_units = options.dropout, options.generator_label_units if "generator" in built.labelled else 0
        over_label = relu(classes, label_units, drop) if label_units else None
        self.inputs = Joint(relu(built.latent.width, options.latent_units, drop), over_label, classes)
        self.hidden = relu(options.latent_units + label_units, options.generator_joint_units, drop)
        self.output = nn.Linear(options.generator_joint_units, math.prod(self.shape))
        self.images = built.data.kind == "images"

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        flat: Tensor = self.output(self.hidden(self.inputs(z, labels)))
        if self.images:
            flat = 2 * flat.sigmoid() - 1
        return Generated(flat.unflatten(1, self.shape))


class Discriminator(nn.Module):
    """x → 240 and y → 50 maxout units → 240 maxout units, the features → logits [N]."""

    def __init__(self, options: CganOptions, built: Built) -> None:
        super().__init__()
        values, classes = math.prod(built.data.shape), len(built.data.classes)
        drop, label_units = options.dropout, options.label_units if "discriminator" in built.labelled else 0
        over_label = maxout(classes, label_units, 5, drop) if label_units else None
        self.inputs = Joint(maxout(values, options.sample_units, 5, drop), over_label, classes)
        self.hidden = maxout(options.sample_units + label_units, options.joint_units, 4, drop)
        self.output = nn.Linear(options.joint_units, 1)
        self.images = built.data.kind == "images"

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        if self.images:
            x = (x + 1) / 2
        features = self.hidden(self.inputs(x.flatten(1), labels))
        return Critique(self.output(features).flatten(), features)


class Maxout(nn.Module):
    """The largest of `pieces` linear functions, for each unit (Goodfellow et al., arXiv 1302.4389)."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.units = units
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (self.units, -1)).amax(dim=2)


def relu(inputs: int, units: int, drop: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(drop))


def maxout(inputs: int, units: int, pieces: int, drop: float) -> nn.Sequential:
    return nn.Sequential(Maxout(inputs, units, pieces), nn.Dropout(drop))
