"""R3GAN: the whole objective, resampling against torch's own, the start, widths, labels, the recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import assert_resumes_exactly, make_game, make_step, mlp_critic, player, resolved
from torch import Tensor, nn
from torch.nn.functional import interpolate, softplus

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.game import Networks
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.resampling import Down, Up
from ganforge.plugins.papers.r3gan import R3ganOptions
from ganforge.plugins.papers.r3gan.networks import Block, build, stage_widths
from ganforge.plugins.papers.relativistic import RelativisticOptions
from ganforge.plugins.papers.relativistic.losses import Relativistic
from ganforge.plugins.tricks.zero_centred_penalty import ZeroCentredOptions
from ganforge.plugins.tricks.zero_centred_penalty.penalty import R1, R2

CLASSES = tuple("abc")


def options(**given: int) -> R3ganOptions:
    return parse(R3ganOptions, given)


def networks(side: int = 16, *, labelled: bool = False, **given: int) -> Networks:
    torch.manual_seed(0)
    data = DataSpec(shape=(1, side, side), classes=CLASSES)
    both: Any = {"labelled": frozenset({"generator", "discriminator"})} if labelled else {}
    return build(options(**{"width": 16, **given}), Built(data=data, latent=Latent(dim=5), **both))


def test_the_discriminators_objective_is_the_papers() -> None:
    """softplus(D(G(z)) - D(x)) + γ/2 (‖∇D(x)‖² + ‖∇D(G(z))‖²), the gradients by torch's own hand."""
    gamma = parse(ZeroCentredOptions, {"gamma": 0.3})
    game = make_game(mlp_critic(), Relativistic(RelativisticOptions()), r1=R1(gamma), r2=R2(gamma))
    step = make_step(game)
    objective = game.objective(player(game, "discriminator"), step.draw, step.clock)
    critic = game.networks["discriminator"]
    real, fake = step.real.detach().requires_grad_(), step.fake.detach().requires_grad_()
    on_real, on_fake = critic(real).logits, critic(fake).logits
    slopes = torch.autograd.grad(on_real.sum() + on_fake.sum(), (real, fake))
    expected = softplus(on_fake - on_real) + 0.15 * sum(slope.square().sum(dim=1) for slope in slopes)
    assert objective.loss.item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_resampling_is_bilinear_but_for_zeros_around() -> None:
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    up, down = Up(3)(x), Down(3)(x)
    inner = (..., slice(1, -1), slice(1, -1))
    assert up.shape == (2, 3, 12, 12)
    assert torch.allclose(up[inner], interpolate(x, scale_factor=2, mode="bilinear")[inner], atol=1e-6)
    own = interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
    assert torch.allclose(down[inner], own[inner], atol=1e-6)
    assert Up(1)(torch.ones(1, 1, 2, 2))[0, 0, 0].tolist() == pytest.approx([9 / 16, 3 / 4, 3 / 4, 9 / 16])
    assert Down(1)(torch.ones(1, 1, 4, 4))[0, 0, 0].tolist() == pytest.approx([49 / 64, 49 / 64])


def test_a_block_is_the_identity_at_the_start_and_keeps_the_variance_inside() -> None:
    """He's gain for LeakyReLU times L^(-1/4): two layers inside, so a branch starts at L^(-1/2)."""
    torch.manual_seed(0)
    block = Block(128, options(), count=16)
    x = torch.randn(4, 128, 8, 8)
    assert torch.equal(block(x), x)
    first, _, second, _, last = block.layers
    gain = math.sqrt(2 / 1.04) / 2
    assert first.weight.std().item() == pytest.approx(gain / math.sqrt(128), rel=0.02)
    assert second.weight.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.02)
    assert (second.groups, second.in_channels) == (16, 256)
    inside = block.layers[:4](x)[..., 1:-1, 1:-1]
    assert inside.square().mean().item() == pytest.approx((1 / 4) ** 2, rel=0.1)
    assert not last.weight.any()


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (16, [768, 768, 768]),
        (32, [768, 768, 768, 768]),
        (64, [768, 768, 768, 768, 384]),
        (256, [768, 768, 768, 768, 384, 192, 96]),
    ],
)
def test_the_widths_are_the_authors(side: int, expected: list[int]) -> None:
    assert stage_widths(side, options()) == expected


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_shapes_at_each_side_with_no_normalisation(side: int) -> None:
    generator, discriminator = networks(side)
    images = generator(torch.randn(3, 5)).images
    said = discriminator(images)
    assert images.shape == (3, 1, side, side)
    assert said.logits.shape == (3,)
    assert said.features.shape == (3, 16)
    kinds = {type(module).__name__ for network in (generator, discriminator) for module in network.modules()}
    assert not [kind for kind in kinds if "Norm" in kind]
    blocks = [module for module in discriminator.modules() if isinstance(module, Block)]
    assert len(blocks) == 2 * int(math.log2(side // 2))


def test_samples_are_cut_off_where_training_is_not() -> None:
    generator = networks().generator
    z = 3 * torch.randn(20, 5)
    assert generator(z).images.abs().max() > 1
    generator.eval()
    assert generator(z).images.abs().max() == 1


def test_labels_enter_both_by_the_networks_own_means() -> None:
    generator, discriminator = networks(labelled=True)
    z, x = torch.randn(1, 5).expand(3, 5), torch.randn(1, 1, 16, 16).expand(3, 1, 16, 16)
    labels = torch.arange(3)

    def distinct(values: Tensor) -> int:
        return len(torch.unique(values.flatten(1), dim=0))

    assert distinct(generator(z, labels).images) == 3
    said = discriminator(x, labels)
    assert distinct(said.logits[:, None]) == 3
    expected = discriminator.output(said.features) * discriminator.embedding.weight
    assert torch.allclose(said.logits, expected.sum(dim=1))


@pytest.mark.parametrize(
    ("shape", "width", "said"),
    [
        ((2,), 16, "architecture 'r3gan' builds images, not points.*architecture=mlp"),
        ((1, 28, 28), 16, "cannot build 28×28; it builds squares of side 8, 16, .*--resolution"),
        ((1, 16, 16), 20, "'architecture.width': must be a multiple of 8 at side 16 with groups of 16 .* not 20"),
        ((1, 64, 64), 24, "must be a multiple of 16 at side 64"),
    ],
)
def test_what_it_cannot_build_it_says(shape: tuple[int, ...], width: int, said: str) -> None:
    with pytest.raises(GanforgeError, match=said):
        build(options(width=width), Built(data=DataSpec(shape=shape), latent=Latent(dim=5)))


def test_the_recipe_is_the_authors(registry: Registry) -> None:
    config = resolved(registry, "r3gan", "digits")
    for one in (config.generator, config.discriminator):
        assert (one.optimizer, one.lr, one.betas, one.moves) == ("adam", 2e-4, (0.0, 0.99), 1)
        assert one.rate(config.steps, config.steps) == pytest.approx(5e-5)
        assert one.rate(config.steps // 2, config.steps) == pytest.approx(12.5e-5)
    assert (config.loss.name, config.loss.values, config.latent.dim) == ("relativistic", {"base": "standard"}, 64)
    assert config.architecture.values == {"width": 768, "blocks": 2, "expansion": 2, "group": 16}
    assert config.regularizers == {name: {"gamma": 0.05, "every": 1} for name in ("r1", "r2")}


@pytest.mark.parametrize(("side", "gamma"), [(32, 0.05), (64, 2.0), (128, 150.0), (256, 150.0)])
def test_gamma_grows_with_the_side(registry: Registry, side: int, gamma: float) -> None:
    recipe = registry.find("recipe", "r3gan")
    settings = recipe.settings(recipe.options(), DataSpec(shape=(3, side, side)))
    assert {values["gamma"] for values in settings["regularizers"].values()} == {gamma}


@pytest.mark.parametrize(
    "data",
    [
        ("digits", "architecture.width=8"),
        ("digits", "architecture.width=8", "architecture.blocks=1", "conditioning=own"),
        ("digits", "architecture.width=8", "generator.conditioning=concat", "discriminator.conditioning=projection"),
        ("ring",),
    ],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "r3gan", *data)
    assert not [module for module in run.game.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
