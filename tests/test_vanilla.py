"""`mlp` and the recipe `vanilla`: the classic tutorials layer by layer, and whole trainings."""

from __future__ import annotations

import json
import os

import pytest
import torch
from torch import nn

from ganforge.core import Built, DataSpec, GanforgeError, Latent, resume, train
from ganforge.core.config import Config, parse_settings, resolve
from ganforge.core.game import Networks
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

TOY_DATA = """
import numpy as np
from ganforge.core import ArrayData, Dataset, DataSpec, Options, hookimpl

def points(options, request):
    angle = np.arange(256) * 2 * np.pi / 8
    return ArrayData(DataSpec(shape=(2,)), np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32))

def pictures(options, request):
    side = request.resolution or 28
    values = np.random.default_rng(0).integers(0, 256, (64, 1, side, side), dtype=np.uint8)
    return ArrayData(DataSpec(shape=(1, side, side)), values)

@hookimpl
def ganforge_datasets():
    return [
        Dataset(name="toy-points", summary="", load=points, kind="points"),
        Dataset(name="toy-pictures", summary="", load=pictures),
    ]
"""
MNIST = DataSpec(shape=(1, 28, 28))
POINTS = DataSpec(shape=(2,))


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The built-ins, and two data sets of a few samples."""
    file = tmp_path_factory.mktemp("plugin") / "toy_data.py"
    file.write_text(TOY_DATA)
    os.environ["GANFORGE_DISABLE_PLUGINS"] = "all"
    return Registry(files=[file], fallback=BUILTIN)


def build(registry: Registry, data: DataSpec = MNIST, latent: int = 100, **options: object) -> Networks:
    spec = registry.find("architecture", "mlp")
    built = Built(data=data, latent=Latent(dim=latent))
    return spec.build(parse(spec.options, options, "architecture"), built)


def resolved(toys: Registry, data: str, *settings: str) -> Config:
    request = {"recipe": "vanilla", "data": data, "observers": []}
    return resolve(request | parse_settings(["recipe.name=vanilla", *settings]), toys)[0]


def layers(network: nn.Module) -> list[str]:
    return [str(module) for module in network.modules() if not list(module.children())]


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def linear(before: int, after: int) -> str:
    return f"Linear(in_features={before}, out_features={after}, bias=True)"


def norm(width: int) -> str:
    return str(nn.BatchNorm1d(width, 0.8))


def leaky(slope: float) -> str:
    return f"LeakyReLU(negative_slope={slope}, inplace=True)"


def dropout(p: float) -> str:
    return f"Dropout(p={p}, inplace=False)"


def test_sheet_is_the_cheat_sheets_networks(registry: Registry):
    generator, discriminator = build(registry, stack="sheet")
    widths = [(100, 256), (256, 512), (512, 1024)]
    expected = [text for pair in widths for text in (linear(*pair), leaky(0.2))]
    assert layers(generator) == [*expected, linear(1024, 784), "Tanh()"]
    widths = [(784, 1024), (1024, 512), (512, 256)]
    expected = [text for pair in widths for text in (linear(*pair), leaky(0.2), dropout(0.3))]
    assert layers(discriminator) == [*expected, linear(256, 1)]
    assert (size(generator), size(discriminator)) == (1_486_352, 1_460_225)


def test_zoo_is_the_zoos_networks_with_its_batch_norm_as_it_ran(registry: Registry):
    generator, discriminator = build(registry, stack="zoo")
    widths = [(128, 256), (256, 512), (512, 1024)]
    expected = [text for pair in widths for text in (linear(*pair), norm(pair[1]), leaky(0.2))]
    assert layers(generator) == [linear(100, 128), leaky(0.2), *expected, linear(1024, 784), "Tanh()"]
    expected = [linear(784, 512), leaky(0.2), linear(512, 256), leaky(0.2)]
    assert layers(discriminator) == [*expected, linear(256, 1)]
    assert (size(generator), size(discriminator)) == (1_510_032, 533_505)


def test_tutorial_has_one_hidden_layer_with_dropout_in_both(registry: Registry):
    generator, discriminator = build(registry, stack="tutorial")
    assert layers(generator) == [linear(100, 128), leaky(0.01), dropout(0.5), linear(128, 784), "Tanh()"]
    assert layers(discriminator) == [linear(784, 128), leaky(0.01), dropout(0.5), linear(128, 1)]
    assert (size(generator), size(discriminator)) == (114_064, 100_609)


def test_plain_has_no_norm_and_leaves_points_unsquashed(registry: Registry):
    generator, discriminator = build(registry, POINTS, latent=2)
    for network, act, end in (
        (generator, "ReLU(inplace=True)", [linear(128, 2), "Identity()"]),
        (discriminator, leaky(0.2), [linear(128, 1)]),
    ):
        assert layers(network) == [linear(2, 128), act, linear(128, 128), act, linear(128, 128), act, *end]


def test_points_are_seen_and_made_in_units_of_their_extent(registry: Registry):
    near, far = (build(registry, DataSpec(shape=(2,), extent=extent), latent=2) for extent in (1.0, 4.0))
    for network, like in zip(far, near, strict=True):
        network.load_state_dict(like.state_dict())
    z, x = torch.randn(5, 2), torch.randn(5, 2)
    torch.testing.assert_close(far[0](z).images, 4 * near[0](z).images)
    torch.testing.assert_close(far[1](4 * x).logits, near[1](x).logits)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 12), (2,)])
@pytest.mark.parametrize("stack", ["plain", "sheet", "zoo", "tutorial"])
def test_every_stack_builds_any_data(registry: Registry, stack: str, shape: tuple[int, ...]):
    generator, discriminator = build(registry, DataSpec(shape=shape), latent=5, stack=stack)
    discriminator.eval()
    samples = generator(torch.randn(7, 5)).images
    assert samples.shape == (7, *shape)
    logits, features, _ = discriminator(samples)
    assert logits.shape == (7,)
    assert features.shape == (7, discriminator.output.in_features)
    torch.testing.assert_close(discriminator.output(features).flatten(), logits)
    if len(shape) == 3:
        assert samples.abs().max() <= 1


def test_options_change_a_stack_where_they_are_given(registry: Registry):
    options = {"stack": "zoo", "generator": {"hidden": [16, 8]}, "discriminator": {"norm": "batch"}}
    generator, discriminator = build(registry, POINTS, latent=3, **options)
    assert layers(generator) == [
        *(linear(3, 16), leaky(0.2)),
        *(linear(16, 8), norm(8), leaky(0.2)),
        *(linear(8, 2), "Identity()"),
    ]
    assert str(nn.BatchNorm1d(256)) in layers(discriminator)


@pytest.mark.parametrize("stack", ["sheet", "tutorial"])
def test_samples_are_drawn_without_dropout(registry: Registry, stack: str):
    networks = build(registry, stack=stack)
    x, z = torch.rand(3, 1, 28, 28), torch.randn(3, 100)
    assert not torch.equal(networks.discriminator(x).logits, networks.discriminator(x).logits)
    networks.generator.eval()
    assert torch.equal(networks.generator(z).images, networks.generator(z).images)


ADAM = {"optimizer": "adam", "lr": 2e-4, "betas": (0.5, 0.999), "moves": 1, "lr_decay": "none"}
HYPERPARAMETERS = {
    "sheet": {"batch": 64, "latent": "normal", "dim": 100, **ADAM},
    "plain": {"batch": 64, "latent": "normal", "dim": 100, **ADAM},
    "zoo": {"batch": 64, "latent": "normal", "dim": 100, **ADAM},
    "tutorial": {"batch": 128, "latent": "uniform", "dim": 100, **ADAM, "lr": 1e-3, "betas": (0.9, 0.999)},
}


def figures(config: Config) -> dict[str, object]:
    assert config.generator.model_copy(update={"moves": config.discriminator.moves}) == config.discriminator
    player = config.discriminator.model_dump(include=set(ADAM))
    return {"batch": config.batch_size, "latent": config.latent.name, "dim": config.latent.dim, **player}


@pytest.mark.parametrize("stack", HYPERPARAMETERS)
def test_each_stack_comes_with_its_tutorials_hyperparameters(toys: Registry, stack: str):
    config = resolved(toys, "toy-pictures", f"recipe.stack={stack}")
    assert figures(config) == HYPERPARAMETERS[stack]
    assert (config.architecture.name, config.architecture.values["stack"]) == ("mlp", stack)
    assert config.loss.values == {"smoothing": "none", "flip": 0.0}
    assert config.ema.decay == 0
    zoo = stack == "zoo"
    assert config.order == ("generator-first" if zoo else "discriminator-first")
    assert config.fakes == ("shared" if zoo else "fresh")


def test_the_data_chooses_the_stack_unless_told(toys: Registry):
    assert resolved(toys, "toy-pictures").architecture.values["stack"] == "sheet"
    assert resolved(toys, "toy-points").architecture.values["stack"] == "plain"
    assert resolved(toys, "toy-points", "recipe.stack=zoo").architecture.values["stack"] == "zoo"


def test_points_have_their_own_hyperparameters(toys: Registry):
    config = resolved(toys, "toy-points")
    points = {"batch": 64, "latent": "normal", "dim": 2, **ADAM, "lr": 1e-3, "lr_decay": "linear", "moves": 2}
    assert figures(config) == points
    assert config.steps == 10_000


@pytest.mark.parametrize("data", ["toy-pictures", "toy-points"])
def test_sgd_is_algorithm_1_at_the_authors_rate(toys: Registry, data: str):
    config = resolved(toys, data, "recipe.optimizer=sgd", "loss=minimax")
    assert config.loss.name == "minimax"
    assert config.batch_size == 100
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.momentum, player.moves) == ("sgd", 0.1, 0.5, 1)


def test_the_written_config_resolves_to_itself(toys: Registry):
    config = resolved(toys, "toy-points", "recipe.stack=tutorial", "architecture.generator.dropout=0.1")
    assert config.architecture.values["generator"]["dropout"] == 0.1
    assert config.architecture.values["generator"]["hidden"] == [128]
    again = resolve(parse(Config, config.model_dump(mode="json")).model_dump(), toys)[0]
    assert again.digest() == config.digest()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            "recipe.stack=sheets",
            "option 'recipe.stack': input should be 'auto', 'plain', 'sheet', 'zoo' or 'tutorial', not 'sheets'",
        ),
        (
            "architecture.stack=[1]",
            "option 'architecture.stack': input should be 'plain', 'sheet', 'zoo' or 'tutorial', not [1]",
        ),
        (
            "architecture.generator.hidden=[128, 0]",
            "option 'architecture.generator.hidden.1': input should be greater than or equal to 1, not 0",
        ),
        (
            "architecture.generator.width=3",
            "unknown option 'architecture.generator.width'; there is dropout, hidden, leak, norm, norm_eps",
        ),
        (
            "architecture.discriminator=3",
            "option 'architecture.discriminator': takes settings by name, as in NAME.KEY=VALUE, not 3",
        ),
    ],
)
def test_bad_options_are_one_sentence(toys: Registry, setting: str, sentence: str):
    with pytest.raises(GanforgeError) as error:
        resolved(toys, "toy-pictures", setting)
    assert str(error.value) == sentence


def request(data: str, steps: int, **more: object) -> dict[str, object]:
    base = {"recipe": "vanilla", "data": data, "steps": steps, "batch_size": 8, "observers": [], "samples": 4}
    return base | {"log_every": 1, "every": 3, "machine": {"threads": 1, "device": "cpu"}} | more


@pytest.mark.parametrize(
    ("data", "more"),
    [
        ("toy-pictures", {"recipe": {"name": "vanilla", "stack": "zoo"}}),
        ("toy-points", {}),
        ("toy-points", {"loss": {"name": "minimax", "smoothing": "random", "flip": 0.1}}),
        ("toy-points", {"recipe": {"name": "vanilla", "optimizer": "sgd"}}),
    ],
)
def test_it_trains_images_and_points(toys: Registry, tmp_path, data, more):
    run = train(request(data, 3, **more), tmp_path / "run", registry=toys)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert all(0 < line["d_real"] < 1 and 0 < line["d_fake"] < 1 for line in lines)
    assert run.sample(5).shape == (5, *run.data.shape)


@pytest.mark.parametrize(
    ("data", "more"),
    [
        ("toy-pictures", {"recipe": {"name": "vanilla", "stack": "tutorial"}}),  # dropout in both networks
        ("toy-points", {"loss": {"name": "non-saturating", "smoothing": "random", "flip": 0.2}}),
    ],
)
def test_a_resumed_run_is_the_same_bit_for_bit(toys: Registry, tmp_path, data, more):
    whole = train(request(data, 6, **more), tmp_path / "whole", registry=toys)
    train(request(data, 6, **more), tmp_path / "cut", registry=toys)
    for later in (tmp_path / "cut" / "checkpoints").glob("step-000006/*"):
        later.unlink()
    (tmp_path / "cut" / "checkpoints" / "step-000006").rmdir()
    again = resume(tmp_path / "cut", registry=toys)
    expected, found = whole.game.state_dict(), again.game.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert (whole.sample(3) == again.sample(3)).all()
