"""SAGAN: attention against torch's own and by hand, where it sits, labels in the norms, the recipe."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, resolved
from torch import nn
from torch.nn.functional import max_pool2d, scaled_dot_product_attention
from torch.nn.utils.parametrize import is_parametrized

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.config import resolve
from ganforge.core.game import Networks
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.blocks.attention import SelfAttention, attend
from ganforge.plugins.conditioning.norm import ConditionalBatchNorm
from ganforge.plugins.papers.sagan import SaganOptions
from ganforge.plugins.papers.sagan.networks import build
from ganforge.serve import load

SMALL = ("architecture.width=2", "latent.dim=5")


def networks(shape: tuple[int, ...], **options: int) -> Networks:
    return build(parse(SaganOptions, {"width": 2, **options}), Built(data=DataSpec(shape=shape), latent=Latent(dim=5)))


def open_attention(channels: int) -> SelfAttention:
    """One whose γ is no longer zero."""
    torch.manual_seed(0)
    layer = SelfAttention(channels)
    nn.init.constant_(layer.gamma, 0.7)
    return layer


# The layer.


def test_each_place_takes_what_it_attends_to() -> None:
    """Keys 0 and ln 3: a query of 1 weighs them 1/4 and 3/4, a query of 0 the same."""
    f, g, h = torch.tensor([[[0.0, math.log(3)]]]), torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[4.0, 8.0]]])
    assert attend(f, g, h)[0, 0].tolist() == pytest.approx([7, 6])


def test_attention_is_torchs_own_without_its_scale() -> None:
    f, g, h = torch.randn(2, 3, 5), torch.randn(2, 3, 11), torch.randn(2, 7, 5)
    theirs = scaled_dot_product_attention(*(t.transpose(1, 2) for t in (g, f, h)), scale=1.0)
    assert torch.allclose(attend(f, g, h), theirs.transpose(1, 2), atol=1e-6)


def test_the_layer_is_the_authors() -> None:
    """f and g have C/8 channels and h C/2; f and h are pooled; y = x + γ v(o)."""
    layer, x = open_attention(16), torch.randn(3, 16, 6, 4)
    f, g, h = (conv(x) for conv in (layer.f, layer.g, layer.h))
    assert [t.shape[1] for t in (f, g, h)] == [2, 2, 8]
    f, h = (max_pool2d(t, 2) for t in (f, h))
    q, k, v = (t.flatten(2).transpose(1, 2) for t in (g, f, h))
    o = scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).reshape(3, 8, 6, 4)
    assert torch.allclose(layer(x), x + 0.7 * layer.v(o), atol=1e-5)
    assert all(conv.bias is None for conv in (layer.f, layer.g, layer.h, layer.v))


def test_it_starts_as_nothing_and_learns_from_the_first_step() -> None:
    layer, x = SelfAttention(16), torch.randn(3, 16, 6, 4)
    y = layer(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert layer.gamma.grad.abs() > 0


def test_a_gradient_penalty_can_differentiate_it_twice() -> None:
    layer, x = open_attention(8).double(), torch.randn(1, 8, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer, (x,), fast_mode=True)


# Where it sits.


@pytest.mark.parametrize(
    ("side", "attention"), [(16, 8), (32, 8), (32, 16), (64, 32), (128, 32), (128, 64), (256, 64), (32, 0)]
)
def test_attention_is_at_one_size_in_each_network(side: int, attention: int) -> None:
    with torch.device("meta"):
        generator, discriminator = networks((1, side, side), attention=attention)
        z = torch.randn(2, 5)
    seen: list[int] = []
    for network in (generator, discriminator):
        for layer in network.modules():
            if isinstance(layer, SelfAttention):
                layer.register_forward_hook(lambda _, args, y: seen.append(y.shape[-1]))
    images = generator(z).images
    critique = discriminator(images)
    assert images.shape == (2, 1, side, side)
    assert critique.logits.shape == (2,)
    assert critique.features.shape == (2, 2 * (4 if side < 64 else 16))
    assert seen == ([attention] * 2 if attention else [])


@pytest.mark.parametrize(
    ("shape", "attention", "message"),
    [
        ((2,), 8, "architecture 'sagan' builds images, not points with 2 coordinates; try --set architecture=mlp"),
        (
            (1, 28, 28),
            8,
            "architecture 'sagan' cannot build 28×28; it builds squares of side 16, 32, 64, 128 or 256: choose one "
            "with --resolution",
        ),
        (
            (1, 32, 32),
            32,
            "option 'architecture.attention': no maps of side 32 in both networks for 32×32 images; those have side "
            "8, 16 (0: no attention)",
        ),
    ],
)
def test_what_cannot_be_built_is_one_sentence(shape: tuple[int, ...], attention: int, message: str) -> None:
    with pytest.raises(GanforgeError) as error:
        networks(shape, attention=attention)
    assert str(error.value) == message


# The recipe.


def test_the_recipe_is_the_papers(registry: Registry) -> None:
    config = resolved(registry, "sagan", "digits")
    for player, lr in ((config.generator, 1e-4), (config.discriminator, 4e-4)):
        assert (player.optimizer, player.lr, player.betas, player.moves) == ("adam", lr, (0.0, 0.9), 1)
    assert (config.loss.name, config.batch_size, config.latent.dim) == ("hinge", 256, 128)
    assert config.regularizers == {"spectral-norm": {"networks": "both", "iterations": 1}}
    assert config.generator.conditioning.name == "conditional-batch-norm"
    assert config.discriminator.conditioning.name == "projection"
    assert config.architecture.values == {"width": 64, "attention": 8}


@pytest.mark.parametrize(("side", "attention"), [(32, 16), (64, 32), (128, 32)])
def test_large_images_attend_where_the_paper_does(registry: Registry, side: int, attention: int) -> None:
    spec = registry.find("recipe", "sagan")
    settings = spec.settings(spec.options(), DataSpec(shape=(3, side, side)))
    assert settings["architecture"] == {"name": "sagan", "attention": attention}
    assert [settings[player]["conditioning"] for player in ("generator", "discriminator")] == ["none", "none"]


@pytest.mark.parametrize("recipe", ["sagan", "biggan"])
def test_points_are_refused(registry: Registry, recipe: str) -> None:
    with pytest.raises(GanforgeError) as error:
        resolved(registry, recipe, "ring")
    assert str(error.value) == (
        f"recipe '{recipe}' attends over the places of images, not points with 2 coordinates; try sngan"
    )


def test_every_map_is_normalised_and_the_generators_class_tables_are_not(registry: Registry) -> None:
    """A table of ones divided by its spectral norm would leave the norms a scale of 1 / √(classes × channels)."""
    request = {"recipe": "sagan", "data": "digits", "architecture": {"width": 2}, "machine": {"device": "cpu"}}
    config, data = resolve(request, registry)
    game = build_game(config, data.spec, registry)
    for name, tables in (("generator", 2 * 2 * 2 + 2), ("discriminator", 1)):
        layers = list(game.networks[name].modules())
        assert all(is_parametrized(layer) for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear))
        found = [layer for layer in layers if isinstance(layer, nn.Embedding)]
        assert len(found) == tables
        assert {is_parametrized(layer) for layer in found} == {name == "discriminator"}
    norms = [norm for norm in game.networks["generator"].modules() if isinstance(norm, ConditionalBatchNorm)]
    assert torch.equal(norms[0].scale.weight, torch.ones(10, 8))


def test_training_resumes_exactly_and_the_file_attends_as_the_run_does(registry: Registry, tmp_path: Path) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "sagan", "digits", *SMALL)
    attentions = [layer for layer in run.game.networks.modules() if isinstance(layer, SelfAttention)]
    assert len(attentions) == 2
    assert all(layer.gamma != 0 for layer in attentions)
    average = next(layer for layer in run.game.ema.modules() if isinstance(layer, SelfAttention))
    average.gamma.fill_(0.0)
    silent = run.sample(10, seed=1)
    average.gamma.fill_(1.0)
    assert not np.allclose(silent, run.sample(10, seed=1), atol=1e-3)
    card = export(run, tmp_path / "sagan.onnx")
    assert card.parity.max_difference <= card.parity.tolerance
    pictures = load(tmp_path / "sagan.onnx").sample(10, seed=1).astype(float)
    assert np.abs(pictures / 127.5 - 1 - run.sample(10, seed=1).transpose(0, 2, 3, 1)).max() < 0.01
