"""StyleGAN: the published size, AdaIN, noise, mixing, truncation, growing, the recipe; the file's ψ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import ganforge
from small_games import assert_resumes_exactly, resolved
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.game import Networks
from ganforge.core.latents import picture_seeds
from ganforge.core.options import parse
from ganforge.core.pictures import to_pixels
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.blocks.resampling import Blur
from ganforge.plugins.blocks.styles import Noise, Styles
from ganforge.plugins.papers.stylegan import StyleganOptions
from ganforge.plugins.papers.stylegan.networks import Layer, build, normalised
from ganforge.serve import load
from ganforge.serve.drawing import Drawing, feed

SMALL = ("architecture.width=8", "architecture.style=8", "architecture.depth=2", "latent.dim=6", "ema.decay=0.9")


def networks(side: int = 16, **options: Any) -> Networks:
    torch.manual_seed(0)
    given = parse(StyleganOptions, {"width": 4, "style": 5, "depth": 2, **options})
    return build(given, Built(data=DataSpec(shape=(1, side, side)), latent=Latent(dim=6)))


def styles(mixing: float = 0.0, cutoff: int = 8, layers: int = 6) -> Styles:
    torch.manual_seed(0)
    return Styles(3, 5, 2, layers, mixing, cutoff, nn.LeakyReLU(0.2))


# The networks.


def test_at_1024_the_networks_are_the_authors() -> None:
    """The counts their code prints: 26.2 million in G (the paper's section 2), 23.1 in D."""
    data = DataSpec(shape=(3, 1024, 1024))
    with torch.device("meta"):
        both = build(StyleganOptions(), Built(data=data, latent=Latent(dim=512)))
    assert [sum(p.numel() for p in network.parameters()) for network in both] == [26_219_627, 23_087_249]


def test_a_layer_is_noise_bias_activation_and_adain() -> None:
    """Equation 1, with a scale of 1 + a: torch's own instance norm as the peer."""
    torch.manual_seed(0)
    layer = Layer(nn.Identity(), 3, 4, 5).eval()
    for parameter in (layer.noise.strength, layer.bias):
        nn.init.normal_(parameter)
    x, w = torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    scale, shift = layer.affine(w).view(2, 6, 1, 1).split(3, dim=1)
    inside = leaky_relu(x + layer.noise.strength * layer.noise.kept + layer.bias, 0.2)
    expected = (1 + scale) * torch.nn.functional.instance_norm(inside, eps=1e-8) + shift
    assert torch.allclose(layer(x, w), expected, atol=1e-5)
    assert torch.allclose(normalised(inside).mean(dim=(2, 3)), torch.zeros(2, 3), atol=1e-6)


def test_the_mapping_network_learns_a_hundred_times_slower() -> None:
    """Weights in use are He's; a step on those learned moves them by a hundredth of what it moves others."""
    network = styles()
    first, second = network.mapping[1], network.mapping[3]
    assert first.weight.std().item() == pytest.approx(100, rel=0.3)
    z = torch.randn(4, 3)
    normed = z / z.square().mean(dim=1, keepdim=True).sqrt()
    hidden = leaky_relu(normed @ (first.weight * 0.01 * (2 / 3) ** 0.5).T, 0.2)
    expected = leaky_relu(hidden @ (second.weight * 0.01 * (2 / 5) ** 0.5).T, 0.2)
    assert torch.allclose(network.mapping(z), expected, atol=1e-4)


def test_blur_is_the_binomial_filter() -> None:
    spot = torch.zeros(1, 1, 3, 3)
    spot[0, 0, 1, 1] = 16
    assert Blur(1, (1.0, 2.0, 1.0), 1)(spot)[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    one = torch.randn(1, 1, 4, 4)
    up = conv_transpose2d(one, torch.ones(1, 1, 1, 1), stride=2, output_padding=1)
    assert torch.allclose(Blur(1, (1.0, 1.0), 0, 4.0)(up), conv2d(up, torch.ones(1, 1, 2, 2)))


def test_noise_is_new_in_training_and_fixed_in_samples() -> None:
    noise = Noise(4, 2)
    nn.init.constant_(noise.strength, 0.5)
    x = torch.zeros(2, 2, 4, 4)
    one, two = noise(x), noise(x)
    assert not torch.equal(one, two)
    assert not torch.equal(one[0], one[1])
    assert torch.equal(one[:, 0], one[:, 1])
    noise.eval()
    assert torch.equal(noise(x), (0.5 * noise.kept).expand(2, 2, 4, 4))


@pytest.mark.parametrize(("place", "active"), [(0, 2), (1, 4), (1.5, 6), (2, 6)])
def test_only_layers_of_the_stage_are_styled(place: float, active: int) -> None:
    generator = networks(mixing=0.0).generator
    generator.configure(place=place)
    generated = generator(torch.randn(3, 6))
    (slopes,) = torch.autograd.grad(generated.images.square().sum(), generated.style)
    assert generated.images.shape == (3, 1, 16, 16)
    assert [bool(slopes[:, layer].any()) for layer in range(6)] == [layer < active for layer in range(6)]


# Styles.


def test_mixing_swaps_the_layers_after_a_crossover_for_anothers() -> None:
    network, z = styles(mixing=1.0), torch.randn(64, 3)
    w, mixed = network.mapping(z), network(z, 4)
    own = (mixed == w[:, None]).all(dim=2)
    crossovers = own[:, :4].sum(dim=1)
    alone = own.all(dim=1)  # the permutation left a sample in its place
    assert set(crossovers[~alone].tolist()) == {1, 2, 3}
    for row in torch.nonzero(~alone).flatten():
        first = crossovers[row]
        other = mixed[row, first]
        assert own[row, :first].all()
        assert not own[row, first:].any()
        assert (w == other).all(dim=1).any()
        assert torch.equal(mixed[row, first:], other.expand(6 - int(first), -1))


def test_a_share_of_the_samples_is_mixed_and_none_when_sampling() -> None:
    network, z = styles(mixing=0.9), torch.randn(2000, 3)
    w = network.mapping(z)[:, None]
    assert (network(z, 6) != w).any(dim=2).any(dim=1).float().mean().item() == pytest.approx(0.9, abs=0.02)
    network.eval()
    assert torch.equal(network(z, 6), w.expand(-1, 6, -1))


def test_the_mean_follows_w() -> None:
    network, z = styles(), torch.randn(7, 3)
    network(z, 6)
    assert torch.allclose(network.mean, 0.005 * network.mapping(z).mean(dim=0))
    before = network.mean.clone()
    network.eval()(z, 6)
    assert torch.equal(network.mean, before)


def test_truncation_draws_the_first_layers_to_the_mean() -> None:
    """w̄ + ψ (w - w̄), each sample with its own ψ."""
    network, z = styles(cutoff=4).eval(), torch.randn(3, 3)
    network.mean.normal_()
    psi = torch.tensor([[0.0], [0.7], [1.0]])
    w, truncated = network.mapping(z), network(z, 6, psi)
    assert torch.allclose(truncated[:, :4], (network.mean + psi * (w - network.mean))[:, None].expand(-1, 4, -1))
    assert torch.equal(truncated[:, 4:], w[:, None].expand(-1, 2, -1))


# The recipe.


def test_the_recipe_is_the_papers(registry: Registry) -> None:
    config = resolved(registry, "stylegan", "digits", "data.resolution=32")
    for one in (config.generator, config.discriminator):
        assert (one.optimizer, one.lr, one.betas) == ("adam", 1e-3, (0.0, 0.99))
    assert (config.loss.name, config.latent.name, config.latent.dim) == ("non-saturating", "normal", 512)
    assert config.regularizers == {
        "progressive-growing": {"start": 8, "stable": 600_000, "fade": 600_000, "reset": True},
        "r1": {"gamma": 10.0, "every": 1},
    }
    assert config.architecture.values == {
        "width": 512,
        "full": 32,
        "style": 512,
        "depth": 8,
        "mixing": 0.9,
        "cutoff": 8,
    }
    assert config.ema.decay ** (10_000 / config.batch_size) == pytest.approx(0.5)
    whole = resolved(registry, "stylegan", "digits", "data.resolution=32", "recipe.growing=false")
    assert list(whole.regularizers) == ["r1"]


def test_it_starts_at_eight(registry: Registry) -> None:
    config = resolved(registry, "stylegan", "digits", "data.resolution=16", *SMALL)
    game = build_game(config, DataSpec(shape=(1, 16, 16)), registry)
    assert game.ema["generator"].stage.place == 1
    assert game.styled


def test_points_are_refused(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="recipe 'stylegan' makes images, not points"):
        resolved(registry, "stylegan", "ring")


@pytest.mark.parametrize(
    "settings", [("recipe.phase=16",), ("recipe.growing=false",), ("recipe.growing=false", "conditioning=concat")]
)
def test_it_resumes_exactly_and_its_file_gives_the_same_pictures_at_any_psi(
    registry: Registry, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """In the first case 16×16 is half in at the checkpoint, after 24 images."""
    run = assert_resumes_exactly(registry, tmp_path, "stylegan", "digits", "data.resolution=16", *SMALL, *settings)
    pictures = {}
    for inputs in ("z", "seed"):
        card = export(run, tmp_path / f"{inputs}.onnx", inputs=inputs)
        assert [one.default for one in card.inputs if one.role == "truncation"] == [1.0]
        model = load(tmp_path / f"{inputs}.onnx")
        for psi in (None, 0.7, 0.1):
            ours = to_pixels(run.sample(6, 1, truncation=psi)).astype(int)
            theirs = model.sample(6, 1, truncation=psi).astype(int)
            assert np.abs(ours - theirs).max() <= 1
            pictures[psi] = ours
    assert not np.array_equal(pictures[None], pictures[0.7])
    card = load(tmp_path / "z.onnx").card
    fed, wanted = feed(Drawing(n=6, seed=1, truncation=0.7), card), picture_seeds(1, 6)
    labels = np.arange(6) if card.labelled else None
    for name, array in card.feed_seeds(wanted, labels, truncation=0.7).items():
        assert np.array_equal(fed[name], array), name
    if not card.labelled:
        assert pictures[0.1].std(axis=0).mean() < pictures[None].std(axis=0).mean()


def test_the_command_takes_psi(registry: Registry, tmp_path: Path) -> None:
    assert_resumes_exactly(registry, tmp_path, "stylegan", "digits", "data.resolution=16", *SMALL)
    files = [tmp_path / f"{psi}.png" for psi in (1.0, 0.2)]
    for psi, file in zip((1.0, 0.2), files, strict=True):
        sampled = ganforge("sample", str(tmp_path / "again"), "--n", "4", "--truncation", str(psi), "-o", str(file))
        assert sampled.code == 0, sampled
    assert files[0].read_bytes() != files[1].read_bytes()
