"""cGAN's networks and numbers, and the numbers of the other conditional recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import assert_resumes_exactly, resolved
from torch import nn

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.registry import Registry
from ganforge.plugins.papers.cgan import CganOptions
from ganforge.plugins.papers.cgan.networks import Maxout, build

MNIST = Built(
    data=DataSpec(shape=(1, 28, 28), classes=tuple("0123456789")),
    latent=Latent(name="uniform", dim=100),
    labelled=frozenset({"generator", "discriminator"}),
)
RECIPES = {
    "cgan": ("architecture.generator_label_units=8", "architecture.generator_joint_units=8", "latent.dim=4"),
    "cdcgan": ("architecture.width=4", "latent.dim=4"),
    "acgan": ("architecture.width=4", "latent.dim=4"),
    "projection-gan": ("architecture.generator_width=4", "architecture.discriminator_width=4", "latent.dim=4"),
}


def linear(module: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]


def test_cgan_has_the_layers_of_section_4_1() -> None:
    generator, discriminator = build(CganOptions(), MNIST)
    assert linear(generator) == [(100, 200), (10, 1000), (1200, 1200), (1200, 784)]
    assert linear(discriminator) == [(784, 240 * 5), (10, 50 * 5), (290, 240 * 4), (240, 1)]
    assert {layer.p for net in (generator, discriminator) for layer in net.modules() if isinstance(layer, nn.Dropout)}


def test_cgan_sees_and_makes_images_between_0_and_1() -> None:
    generator, discriminator = build(CganOptions(dropout=0), MNIST)
    z, black, label = torch.randn(1, 100), torch.full((1, 1, 28, 28), -1.0), torch.tensor([3])
    hidden = generator.hidden(generator.inputs(z, label))
    pixels = generator.output(hidden).sigmoid().unflatten(1, (1, 28, 28))
    torch.testing.assert_close(generator(z, label).images, 2 * pixels - 1)
    # A black picture is zeros: D's first layer over it says its bias alone.
    seen: list[torch.Tensor] = []
    discriminator.inputs.over_input.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    discriminator(black, label)
    assert torch.equal(seen[0], torch.zeros(1, 784))


def test_maxout_is_the_largest_of_a_units_pieces() -> None:
    layer = Maxout(1, 2, 3)
    layer.linear.weight.data = torch.tensor([[1.0], [-1.0], [0.0], [2.0], [3.0], [-4.0]])
    layer.linear.bias.data.zero_()
    assert layer(torch.tensor([[2.0], [-1.0]])).tolist() == [[2.0, 6.0], [1.0, 4.0]]


def test_cgan_hears_labels_where_they_are_its_own_and_not_elsewhere() -> None:
    for place, given in enumerate((torch.randn(1, 100), torch.randn(1, 1, 28, 28))):
        deaf, hears = (
            build(CganOptions(), Built(data=MNIST.data, latent=MNIST.latent))[place],
            build(CganOptions(), MNIST)[place],
        )
        for network, differs in ((deaf, False), (hears, True)):
            said = [network.eval()(given, torch.tensor([label]))[0] for label in (1, 2)]
            assert torch.equal(*said) != differs


def test_cgan_is_trained_as_in_section_4_1(registry: Registry) -> None:
    config = resolved(registry, "cgan", "digits")
    assert (config.latent.name, config.latent.dim, config.batch_size) == ("uniform", 100, 100)
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.momentum, player.conditioning.name) == ("sgd", 0.1, 0.5, "own")
        assert player.rate(1000, config.steps) == pytest.approx(0.1 / 1.00004**1000)


def test_acgan_is_appendix_a(registry: Registry) -> None:
    config = resolved(registry, "acgan", "digits")
    assert config.latent.dim + len("0123456789") == 110
    assert config.regularizers == {
        "dropout": {"rate": 0.5, "networks": "discriminator"},
        "auxiliary-classifier": {"weight": 1.0},
    }
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas) == ("adam", 2e-4, (0.5, 0.999))
    assert (config.generator.conditioning.name, config.batch_size) == ("concat", 100)


def test_projection_gan_is_section_4(registry: Registry) -> None:
    config = resolved(registry, "projection-gan", "digits")
    assert (config.architecture.name, config.loss.name, list(config.regularizers)) == (
        "sn-resnet",
        "hinge",
        ["spectral-norm"],
    )
    assert (config.generator.conditioning.name, config.discriminator.conditioning.name) == (
        "conditional-batch-norm",
        "projection",
    )
    assert (config.generator.moves, config.discriminator.moves) == (1, 5)
    for player in (config.generator, config.discriminator):
        assert (player.lr, player.betas) == (2e-4, (0.0, 0.9))
        rates = [player.rate(at, 450) / player.lr for at in (0, 400, 425, 450)]
        assert rates == pytest.approx([1, 1, 0.5, 0], abs=1e-9)


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, recipe: str) -> None:
    run = assert_resumes_exactly(registry, tmp_path, recipe, "digits", *RECIPES[recipe])
    assert run.labelled
    if recipe == "projection-gan":  # spectral norm is on all of D, the class vectors too
        vectors = run.game.networks["discriminator"].embedding.weight.detach()
        assert torch.linalg.matrix_norm(vectors, 2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("recipe", RECIPES)
def test_data_without_labels_is_refused(registry: Registry, recipe: str) -> None:
    with pytest.raises(GanforgeError, match=r"needs labels, and 'ring' has no classes"):
        resolved(registry, recipe, "ring")
