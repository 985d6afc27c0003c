"""Tiny generators: ones that export well, and ones that must be caught."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganforge.core import Built
from ganforge.core.game import Critique, Generated


class Plain(nn.Module):
    """Linear, batch norm, tanh for images; no tanh for points."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.shape = built.data.shape
        size = int(torch.tensor(self.shape).prod())
        self.layers = nn.Sequential(
            nn.Linear(built.latent.width, 16), nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Linear(16, size)
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        x = self.layers(z).unflatten(1, self.shape)
        return Generated(torch.tanh(x) if len(self.shape) == 3 else x)


class Spectral(Plain):
    """Spectral norm on every linear layer."""

    def __init__(self, built: Built) -> None:
        super().__init__(built)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                spectral_norm(layer)


class Convolutional(nn.Module):
    """Transposed and plain convolutions, each with a batch norm behind it."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.side, channels = built.data.shape[1], built.data.shape[0]
        self.start = nn.Linear(built.latent.width, 4 * (self.side // 2) ** 2)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU(),
            spectral_norm(nn.Conv2d(4, 4, 3, 1, 1)), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, channels, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.layers(self.start(z).unflatten(1, (4, self.side // 2, self.side // 2))))


class Labelled(Plain):
    """Adds a learned vector of the class to the latent."""

    def __init__(self, built: Built) -> None:
        super().__init__(built)
        self.embedding = nn.Embedding(len(built.data.classes), built.latent.width)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        assert labels is not None
        return super().forward(z + self.embedding(labels))


class FrozenBatch(Plain):
    """Its batch size becomes a Python number, which tracing bakes in without a word."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(super().forward(z).images + torch.zeros(int(z.shape[0]), 1, 1, 1))


class FixedGroups(Plain):
    """It works in groups of four: at batches of 4, 8, 12 … and no others."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        images = super().forward(z).images
        return Generated(images.view(z.shape[0] // 4, 4, *self.shape).flatten(0, 1))


class Diverted(Plain):
    """It gives something else while it is traced."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        images = super().forward(z).images
        return Generated(images * 0.99 if torch.compiler.is_exporting() else images)


class Coupled(Plain):
    """Each sample depends on its neighbours."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        images = super().forward(z).images
        return Generated(images - images.mean(dim=0, keepdim=True))


class Discriminator(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.logits = nn.Linear(int(torch.tensor(shape).prod()), 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        return Critique(self.logits(x.flatten(1)).flatten())


GENERATORS = {
    "plain": Plain,
    "spectral": Spectral,
    "convolutional": Convolutional,
    "labelled": Labelled,
    "frozen-batch": FrozenBatch,
    "fixed-groups": FixedGroups,
    "diverted": Diverted,
    "coupled": Coupled,
}
