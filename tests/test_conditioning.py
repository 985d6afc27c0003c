"""Conditioning: labels enter any architecture's networks from outside; the maths of each way, and the whole way."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, resolved
from torch import Tensor, nn

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.config import COMPLETE, merge, resolve
from ganforge.core.game import Critique, Generated
from ganforge.core.pictures import grid
from ganforge.core.registry import Registry, default_registry
from ganforge.core.run import build_game
from ganforge.plugins.conditioning import concat, heads, norm

CLASSES = ("a", "b", "c")
BUILT = Built(data=DataSpec(shape=(1, 8, 8), classes=CLASSES), latent=Latent(dim=4))
PLANE = Built(data=DataSpec(shape=(2,), classes=CLASSES), latent=Latent(dim=4))
SMALL = ("architecture.width=4", "latent.dim=5")
WAYS = [
    (generator, discriminator)
    for generator in ("none", "concat", "embedding", "conditional-batch-norm")
    for discriminator in ("none", "concat", "embedding", "projection", "auxiliary-classifier")
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return default_registry()


class Seen(nn.Module):
    """A network that shows what it was given."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.built = built

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        assert labels is None
        return Generated(x) if x.dim() == 2 and x.shape[1] == self.built.latent.width else Critique(x)


class Body(nn.Module):
    """A discriminator whose features are given maps."""

    def __init__(self, features: Tensor | None) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = None if self.features is None else self.features[: len(x)]
        return Critique(torch.zeros(len(x)), features)


# What the networks see.


def test_concat_puts_one_hot_labels_behind_z() -> None:
    network = concat.generator(None, BUILT, Seen)
    z = torch.randn(2, 4)
    given = network(z, torch.tensor([2, 0])).images
    assert torch.equal(given, torch.cat([z, torch.tensor([[0.0, 0, 1], [1, 0, 0]])], dim=1))


def test_concat_puts_one_map_for_each_class_behind_the_channels() -> None:
    x = torch.randn(2, 1, 8, 8)
    given = concat.discriminator(None, BUILT, Seen)(x, torch.tensor([1, 2])).logits
    assert torch.equal(given[:, :1], x)
    assert given[0, 1:].mean(dim=(1, 2)).tolist() == [0, 1, 0]
    assert given[1, 1:].amin(dim=(1, 2)).tolist() == [0, 0, 1]


def test_concat_puts_labels_behind_a_points_coordinates() -> None:
    network = concat.discriminator(None, PLANE, Seen)
    assert network(torch.tensor([[5.0, 6.0]]), torch.tensor([1])).logits.tolist() == [[5, 6, 0, 1, 0]]


def test_embedding_puts_learned_numbers_behind_z() -> None:
    network = concat.generator(6, BUILT, Seen)
    z = torch.randn(3, 4)
    given = network(z, torch.tensor([0, 2, 0])).images
    assert given.shape == (3, 10)
    assert torch.equal(given[0, 4:], given[2, 4:])
    assert torch.equal(given[1, 4:], network.code.embedding.weight[2])


def test_projection_adds_the_product_of_class_vector_and_summed_features() -> None:
    maps = torch.arange(2 * 3 * 4.0).view(2, 3, 2, 2)
    network = heads.projection(BUILT, lambda built: Body(maps))
    labels = torch.tensor([2, 1])
    expected = [float(network.embedding.weight[y].detach() @ maps[i].sum(dim=(1, 2))) for i, y in enumerate(labels)]
    assert network(torch.zeros(2, 1, 8, 8), labels).logits.tolist() == pytest.approx(expected)


def test_features_are_needed_for_heads_only() -> None:
    for head in (heads.projection, heads.classifier):
        with pytest.raises(GanforgeError, match=r"gives no features .* set it to concat"):
            head(BUILT, lambda built: Body(None))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(5), nn.BatchNorm2d(5), nn.BatchNorm1d(5, affine=False)])
def test_conditional_batch_norm_begins_as_the_norm_it_replaces(layer: Any) -> None:
    if layer.affine:
        nn.init.normal_(layer.weight, 1, 0.1)
    labels = norm.Labels()
    conditional = norm.ConditionalBatchNorm(layer, 3, labels)
    x = torch.randn(6, 5, *([4, 4] if isinstance(layer, nn.BatchNorm2d) else []))
    labels.now = torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.allclose(conditional(x), layer(x), atol=1e-6)


def test_conditional_batch_norm_scales_and_shifts_each_class() -> None:
    labels = norm.Labels()
    conditional = norm.ConditionalBatchNorm(nn.BatchNorm1d(1, eps=1e-9), 2, labels)
    conditional.scale.weight.data = torch.tensor([[2.0], [3.0]])
    conditional.shift.weight.data = torch.tensor([[10.0], [20.0]])
    labels.now = torch.tensor([0, 1])
    # Two values lie one standard deviation to each side of their mean.
    assert conditional(torch.tensor([[1.0], [5.0]])).flatten().tolist() == pytest.approx([8.0, 23.0])


def test_conditional_batch_norm_keeps_the_precision_of_the_maps_and_its_own_of_the_scales() -> None:
    labels = norm.Labels()
    layer = norm.ConditionalBatchNorm(nn.BatchNorm2d(4), 3, labels)
    maps, labels.now = torch.randn(8, 4, 5, 5, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    with torch.autocast("cpu", torch.bfloat16):
        before = layer(maps.bfloat16())
        assert before.dtype == torch.bfloat16
        nn.init.constant_(layer.scale.weight, 1.003)  # which is 1 in bf16
        assert not torch.equal(layer(maps.bfloat16()), before)
    assert layer(maps).dtype == torch.float32


def test_a_generator_without_batch_norm_cannot_be_conditioned_by_it() -> None:
    with pytest.raises(GanforgeError, match=r"no batch norm to condition; set it to concat"):
        norm.generator(BUILT, lambda built: nn.Linear(2, 2))


def test_the_class_loss_is_that_of_the_right_class() -> None:
    critique = Critique(torch.zeros(2), aux={"classes": torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])})
    labels = torch.tensor([1, 1])
    expected = -(math.log(3 / 4) + math.log(1 / 5)) / 2
    assert heads.class_loss(critique, labels).item() == pytest.approx(expected)


def test_the_discriminator_learns_classes_of_reals_and_fakes_and_the_generator_of_its_fakes() -> None:
    real = Critique(torch.zeros(1), aux={"classes": torch.tensor([[0.0, 2.0]])})
    fake = Critique(torch.zeros(1), aux={"classes": torch.tensor([[1.0, 0.0]])})
    y, loss = torch.tensor([0]), heads.ClassLoss(0.5)
    duel = {"on_real": real, "on_fake": fake, "real_labels": y, "fake_labels": y}
    both = loss.penalty(SimpleNamespace(**duel, player=SimpleNamespace(role="discriminator")))  # type: ignore[arg-type]
    one = loss.penalty(SimpleNamespace(**duel, player=SimpleNamespace(role="generator")))  # type: ignore[arg-type]
    assert one.item() == pytest.approx(0.5 * math.log(1 + math.exp(-1)))
    assert both.item() - one.item() == pytest.approx(0.5 * math.log(1 + math.exp(2)))


# What a request becomes.


@pytest.mark.parametrize(
    ("asked", "generator", "discriminator"),
    [
        ("concat", "concat", "concat"),
        ("projection", "conditional-batch-norm", "projection"),
        ("auxiliary-classifier", "concat", "auxiliary-classifier"),
        ("none", "none", "none"),
    ],
)
def test_one_word_stands_for_a_pair(registry: Registry, asked: str, generator: str, discriminator: str) -> None:
    config = resolved(registry, "dcgan", "digits", f"conditioning={asked}")
    assert (config.generator.conditioning.name, config.discriminator.conditioning.name) == (generator, discriminator)


def test_single_settings_win_over_the_pair(registry: Registry) -> None:
    config = resolved(registry, "dcgan", "digits", "conditioning=concat", "discriminator.conditioning=projection")
    assert (config.generator.conditioning.name, config.discriminator.conditioning.name) == ("concat", "projection")


def test_a_conditioning_has_options_and_another_name_drops_them(registry: Registry) -> None:
    config = resolved(
        registry, "dcgan", "digits", "generator.conditioning.name=embedding", "generator.conditioning.dim=7"
    )
    assert config.generator.conditioning.values == {"dim": 7}
    again = merge(config.model_dump(), {"generator": {"conditioning": "concat"}})
    assert again["generator"]["conditioning"] == {"name": "concat"}


def test_the_classifier_brings_its_loss_unless_it_is_switched_off(registry: Registry) -> None:
    asked = ("conditioning=auxiliary-classifier", "regularizers.auxiliary-classifier")
    assert resolved(registry, "dcgan", "digits", asked[0]).regularizers == {"auxiliary-classifier": {"weight": 1.0}}
    weighed = resolved(registry, "dcgan", "digits", asked[0], asked[1] + ".weight=0.1")
    assert weighed.regularizers == {"auxiliary-classifier": {"weight": 0.1}}
    assert resolved(registry, "dcgan", "digits", asked[0], asked[1] + "=false").regularizers == {}


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ("ring", ["conditioning=concat"], "'concat' needs labels, and 'ring' has no classes"),
        ("digits", ["conditioning=conact"], "'conact'.*concat"),
        ("digits", ["generator.conditioning=projection"], "not one for the generator; those are: none, concat"),
        ("digits", ["discriminator.conditioning.name=concat", "discriminator.conditioning.dim=3"], "dim"),
        ("digits", ["generator.conditioning=conact"], "conact.*generator.conditioning|generator.conditioning.*conact"),
    ],
)
def test_what_cannot_be_is_one_sentence(registry: Registry, data: str, settings: list[str], message: str) -> None:
    with pytest.raises(GanforgeError, match=message) as caught:
        resolved(registry, "dcgan", data, *settings)
    assert "\n" not in str(caught.value)


def test_the_pair_takes_the_place_of_what_a_file_said_of_each_player(registry: Registry) -> None:
    """A run's own config, and a file that names each network's conditioning."""
    run = merge(resolved(registry, "dcgan", "digits", "conditioning=projection").model_dump(), {COMPLETE: "sha"})
    file = {"recipe": "dcgan", "data": "digits", "generator": {"conditioning": "embedding", "lr": 1e-3}}
    for below in (run, file):
        config, _ = resolve(merge(below, {"conditioning": "auxiliary-classifier"}), registry)
        names = (config.generator.conditioning.name, config.discriminator.conditioning.name)
        assert names == ("concat", "auxiliary-classifier")
        assert config.regularizers == {"auxiliary-classifier": {"weight": 1.0}}
        assert config.generator.lr == (1e-3 if below is file else 2e-4)


def test_a_class_loss_without_classes_is_refused_before_a_round(registry: Registry) -> None:
    asked = {"recipe": "dcgan", "data": "digits", "conditioning": "projection"}
    config, data = resolve({**asked, "regularizers": {"auxiliary-classifier": True}}, registry)
    with pytest.raises(GanforgeError, match=r"set .*, or regularizers\.auxiliary-classifier=false"):
        build_game(config, data.spec, registry)


def test_an_architecture_without_a_way_of_its_own_says_so(registry: Registry) -> None:
    config, data = resolve({"recipe": "dcgan", "data": "digits", "conditioning": "own"}, registry)
    with pytest.raises(GanforgeError, match=r"'dcgan' takes no labels by itself in its discriminator|generator"):
        build_game(config, data.spec, registry)


# The whole way.


@pytest.mark.parametrize(("generator", "discriminator"), WAYS)
def test_every_pair_trains_resumes_and_samples_by_label(
    registry: Registry, tmp_path: Path, generator: str, discriminator: str
) -> None:
    ways = (f"generator.conditioning={generator}", f"discriminator.conditioning={discriminator}")
    run = assert_resumes_exactly(registry, tmp_path, "dcgan", "digits", *SMALL, *ways)
    export = run.game.exports()["generator"]
    assert export.labelled == (generator != "none")
    if export.labelled:
        with torch.no_grad():
            for parameter in run.game.ema["generator"].parameters():
                parameter.normal_()
        same = [run.sample(1, seed=3, labels=np.array([y])) for y in (0, 1)]
        assert not np.array_equal(*same)


def test_a_sheet_of_labelled_samples_has_a_row_for_each_class() -> None:
    labels = np.arange(6) % 2
    pixels = np.stack([np.full((64, 64, 1), 100 * y + i, np.uint8) for i, y in enumerate(labels)])
    sheet = grid(pixels, labels=labels)[32::66, 32::66, 0]
    assert sheet.tolist() == [[0, 2, 4], [101, 103, 105]]
    assert grid(pixels[:3], labels=np.arange(3))[32::66, 32::66, 0].shape == (2, 2)


def test_conditional_batch_norm_leaves_styles_to_the_generator() -> None:
    class Styled(nn.Module):
        truncates = True

        def forward(self, z: Tensor, **style: Tensor) -> Generated:
            return Generated(z * style["truncation"])

    network = norm.ConditionedNorms(Styled(), norm.Labels())
    assert network.truncates
    seen = network(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64), truncation=torch.full((2, 1), 0.5))
    assert seen.images.tolist() == [[0.5] * 3] * 2
