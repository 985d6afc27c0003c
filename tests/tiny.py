"""A toy plugin for tests: networks of a few dozen weights, a data set of random pictures, a plain loss.

It goes through the same hooks as any plugin: `Registry(files=[Path(tiny.__file__)], fallback=BUILTIN)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ganforge.core import (
    Architecture,
    ArrayData,
    Built,
    DataRequest,
    Dataset,
    DataSpec,
    Loss,
    Options,
    Reading,
    Recipe,
    hookimpl,
)

FILE = Path(__file__)


def request(**changes: Any) -> dict[str, Any]:
    """A training request of a second: override any key of the config."""
    return {
        "recipe": "tiny",
        "data": "tiny-pictures",
        "steps": 4,
        "every": 2,
        "log_every": 1,
        "batch_size": 4,
        "samples": 4,
        "observers": [],
        "machine": {"device": "cpu", "threads": 1},
        **changes,
    }


class TinyOptions(Options):
    dropout: float = 0.0
    norm: bool = False


class PictureOptions(Options):
    n: int = 24
    classes: int = 0


def load(options: PictureOptions, wanted: DataRequest) -> ArrayData:
    random = np.random.default_rng(0 if wanted.split == "train" else 1)
    side = wanted.resolution or 8
    pixels = random.integers(0, 256, (options.n, 1, side, side), dtype=np.uint8)
    names = tuple(f"class {i}" for i in range(options.classes))
    labels = random.integers(0, options.classes, options.n) if options.classes else None
    return ArrayData(DataSpec(shape=(1, side, side), classes=names), pixels, labels)


def build_networks(options: TinyOptions, built: Built) -> Any:
    import math

    import torch
    from torch import nn

    from ganforge.core.game import Critique, Generated, Networks

    size = math.prod(built.data.shape)

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(built.latent.width, 12)
            self.norm = nn.BatchNorm1d(12) if options.norm else nn.Identity()
            self.last = nn.Linear(12, size)

        def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> Generated:
            flat = self.last(torch.relu(self.norm(self.first(z))))
            return Generated(torch.tanh(flat).unflatten(1, built.data.shape))

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.drop = nn.Linear(size, 12), nn.Dropout(options.dropout)
            self.last = nn.Linear(12, 1)

        def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Critique:
            features = self.drop(torch.tanh(self.first(x.flatten(1))))
            return Critique(self.last(features).flatten(), features)

    return Networks(Generator(), Discriminator())


def build_loss(options: Options) -> Any:
    from torch import Tensor
    from torch.nn.functional import softplus

    from ganforge.core.game import Duel, LossModule

    class Plain(LossModule):
        def discriminator(self, duel: Duel) -> Tensor:
            return softplus(-duel.on_real.logits).mean() + softplus(duel.on_fake.logits).mean()

        def generator(self, duel: Duel) -> Tensor:
            return softplus(-duel.on_fake.logits).mean()

        def read(self, logits: Tensor) -> Tensor:
            return logits.sigmoid()

    return Plain()


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    return {"architecture": "tiny", "loss": "tiny", "latent": {"dim": 3}}


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [Architecture(name="tiny", summary="two layers", options=TinyOptions, build=build_networks)]


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [Loss(name="tiny", summary="logistic", build=build_loss, reading=Reading("D(x)", 0.5, (0.3, 0.7), True))]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [Recipe(name="tiny", summary="a toy", settings=settings)]


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [Dataset(name="tiny-pictures", summary="random pictures", options=PictureOptions, load=load)]
