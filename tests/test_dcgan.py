"""DCGAN's networks layer by layer, its sizes, its initialisation and its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.config import resolve
from ganforge.core.registry import Registry
from ganforge.plugins.papers.dcgan import DcganOptions
from ganforge.plugins.papers.dcgan.networks import build

SIZES = [8, 16, 28, 32, 64, 128, 256]


def networks(side: int, channels: int = 1, **options: Any) -> Any:
    return build(DcganOptions(**options), Built(data=DataSpec(shape=(channels, side, side)), latent=Latent(dim=100)))


def layers(module: nn.Module, *kinds: type[nn.Module]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def test_at_64_the_generator_is_figure_1() -> None:
    generator = networks(64, 3).generator
    assert generator.project.weight.shape == (1024 * 16, 100)
    ups = layers(generator, nn.ConvTranspose2d)
    assert [(up.in_channels, up.out_channels) for up in ups] == [(1024, 512), (512, 256), (256, 128), (128, 3)]
    assert {(up.kernel_size, up.stride, up.padding) for up in ups} == {((4, 4), (2, 2), (1, 1))}
    assert [norm.num_features for norm in layers(generator, nn.BatchNorm2d)] == [1024, 512, 256, 128]
    assert isinstance(generator.layers[-1], nn.Tanh)


def test_at_64_the_discriminator_mirrors_it() -> None:
    critic = networks(64, 3).discriminator
    downs = layers(critic, nn.Conv2d)
    assert [(d.in_channels, d.out_channels) for d in downs] == [
        (3, 128),
        (128, 256),
        (256, 512),
        (512, 1024),
        (1024, 1),
    ]
    assert downs[-1].kernel_size == (4, 4)
    # Batch norm everywhere but in the first and the last layer.
    assert [norm.num_features for norm in layers(critic, nn.BatchNorm2d)] == [256, 512, 1024]
    assert {layer.negative_slope for layer in layers(critic, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_has_its_shapes(side: int, channels: int) -> None:
    built = networks(side, channels, width=2)
    images = built.generator(torch.randn(2, 100)).images
    critique = built.discriminator(images)
    assert images.shape == (2, channels, side, side)
    assert images.abs().max() <= 1
    assert critique.logits.shape == (2,)


@pytest.mark.parametrize("shape", [(1, 30, 30), (3, 4, 4), (3, 512, 512), (1, 32, 64), (2,)])
def test_what_it_cannot_build_it_says(shape: tuple[int, ...]) -> None:
    with pytest.raises(GanforgeError, match="architecture 'dcgan'"):
        build(DcganOptions(), Built(data=DataSpec(shape=shape), latent=Latent()))


def test_weights_start_as_section_4_says() -> None:
    torch.manual_seed(0)
    built = networks(32, 3, width=64)
    for network in (built.generator, built.discriminator):
        for layer in layers(network, nn.Conv2d, nn.ConvTranspose2d, nn.Linear):
            if layer.weight.numel() > 5000:
                assert abs(float(layer.weight.detach().mean())) < 1e-3
                assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
            assert layer.bias is None or not layer.bias.any()
        scales = torch.cat([norm.weight.detach() for norm in layers(network, nn.BatchNorm2d)])
        assert float(scales.mean()) == pytest.approx(1.0, abs=0.01)
        assert float(scales.std()) == pytest.approx(0.02, rel=0.35)


def test_the_recipe_has_the_papers_numbers(registry: Registry) -> None:
    config, _ = resolve({"recipe": "dcgan", "data": "digits"}, registry)
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas) == ("adam", 2e-4, (0.5, 0.999))
    assert (config.latent.name, config.latent.dim, config.batch_size) == ("uniform", 100, 128)
    assert config.architecture.values == {"width": 128, "discriminator_norm": "batch"}


def test_without_batch_norm_a_sample_is_judged_by_itself() -> None:
    torch.manual_seed(0)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 16, 16)).astype(np.float32))
    alone = networks(16, width=4, discriminator_norm="none").discriminator
    coupled = networks(16, width=4).discriminator
    torch.testing.assert_close(alone(images[:1]).logits, alone(images).logits[:1])
    assert not torch.allclose(coupled(images[:1]).logits, coupled(images).logits[:1])
