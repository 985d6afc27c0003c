"""What the tests of export and serve train: a single-file plugin with tiny data and odd generators."""

from __future__ import annotations

import os
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
    Run,
    hookimpl,
    train,
)
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

CLASSES = ("cat", "dog", "owl")


class ToyOptions(Options):
    """Which generator."""

    kind: str = "plain"


def load(options: Options, request: DataRequest) -> ArrayData:
    """Random pictures in three classes."""
    side, rng = request.resolution or 8, np.random.default_rng(0)
    images = rng.integers(0, 255, (32, 3, side, side), dtype=np.uint8)
    return ArrayData(DataSpec(shape=(3, side, side), classes=CLASSES), images, rng.integers(0, 3, 32))


def load_points(options: Options, request: DataRequest) -> ArrayData:
    return ArrayData(DataSpec(shape=(2,)), np.random.default_rng(0).normal(0, 9, (32, 2)).astype(np.float32))


def build_loss(options: Options) -> Any:
    import torch
    from torch.nn.functional import softplus

    from ganforge.core.game import Duel, LossModule

    class Toy(LossModule):
        def discriminator(self, duel: Duel) -> torch.Tensor:
            return softplus(-duel.on_real.logits).mean() + softplus(duel.on_fake.logits).mean()

        def generator(self, duel: Duel) -> torch.Tensor:
            return softplus(-duel.on_fake.logits).mean()

    return Toy()


def build(options: ToyOptions, built: Built) -> Any:
    import export_toy_networks as networks

    from ganforge.core.game import Networks

    generator = networks.GENERATORS[options.kind](built)
    return Networks(generator, networks.Discriminator(built.data.shape))


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    return {"architecture": "toy", "loss": "toy", "latent": {"dim": 6}, "steps": 3, "batch_size": 4}


def labelled_game(config: Any, parts: Any) -> Any:
    from ganforge.core.game import AdversarialGame, Export

    class Labelled(AdversarialGame):
        def exports(self) -> dict[str, Export]:
            return {"generator": Export("generator", labelled=True)}

    return Labelled(parts)


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [
        Dataset(name="toy", summary="", load=load),
        Dataset(name="toy-points", summary="", load=load_points, kind="points"),
    ]


@hookimpl
def ganforge_losses() -> list[Loss[Any]]:
    return [Loss(name="toy", summary="", build=build_loss, reading=Reading("D"))]


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [Architecture(name="toy", summary="", options=ToyOptions, build=build)]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(name="toy", summary="", paper="0000.00000", settings=settings),
        Recipe(name="toy-labelled", summary="", settings=settings, game=labelled_game),
    ]


def toy_registry() -> Registry:
    """The built-ins and this file."""
    os.environ["GANFORGE_DISABLE_PLUGINS"] = "all"
    return Registry(files=[Path(__file__)], fallback=BUILTIN)


def toy_run(directory: Path, kind: str = "plain", **request: Any) -> Run:
    """Three rounds of the toy recipe with one of the toy generators, or of what `request` says."""
    toy = {"recipe": "toy", "data": "toy", "architecture": {"name": "toy", "kind": kind}, "observers": []}
    return train(toy | request, directory, registry=toy_registry())


def dcgan_run(directory: Path) -> Run:
    """A tiny DCGAN at 16×16, trained until its pictures differ visibly."""
    data = {"name": "toy", "resolution": 16}
    small = {"architecture": {"width": 8}, "steps": 30, "batch_size": 4}
    return toy_run(directory, recipe="dcgan", loss="toy", data=data, **small)


def assert_same_pictures(a: np.ndarray, b: np.ndarray) -> None:
    """Equal, but for the odd value that lies within float rounding of halfway between two levels."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.uint8
    assert np.abs(a.astype(int) - b).max() <= 1
    assert (a != b).mean() < 1e-3
