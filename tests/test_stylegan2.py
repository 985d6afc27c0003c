"""StyleGAN2: the published size, modulation against the grouped form, skips, path length, laziness, the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, linear_critic, make_game, make_step, resolved
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.game import Generated, Networks
from ganforge.core.options import parse
from ganforge.core.pictures import to_pixels
from ganforge.core.registry import Registry
from ganforge.export import export
from ganforge.plugins.blocks.equalised import EqualConv2d
from ganforge.plugins.papers.stylegan2 import PathLengthOptions, Stylegan2Options
from ganforge.plugins.papers.stylegan2.networks import Block, Modulated, build
from ganforge.plugins.papers.stylegan2.path_length import PathLength
from ganforge.serve import load

SMALL = ("architecture.width=8", "architecture.style=8", "architecture.depth=2", "latent.dim=6", "ema.decay=0.9")


def networks(side: int = 16, **options: Any) -> Networks:
    torch.manual_seed(0)
    given = parse(Stylegan2Options, {"width": 4, "style": 5, "depth": 2, **options})
    return build(given, Built(data=DataSpec(shape=(1, side, side)), latent=Latent(dim=6)))


# The networks.


def test_at_1024_the_networks_are_the_authors() -> None:
    """The counts their code prints for configuration F: 30.4 million in G and 29.0 in D (table 1)."""
    data = DataSpec(shape=(3, 1024, 1024))
    with torch.device("meta"):
        both = build(Stylegan2Options(), Built(data=data, latent=Latent(dim=512)))
    assert [sum(p.numel() for p in network.parameters()) for network in both] == [30_370_060, 29_012_513]


def grouped(layer: Modulated, x: Tensor, w: Tensor) -> Tensor:
    """Equations 1 and 3 as they stand, and as the authors compute them: weights for each sample, samples as groups."""
    n, _, height, across = x.shape
    weights = layer.weight[None] * layer.scale * layer.affine(w)[:, None, :, None, None]
    if layer.demodulate:
        weights = weights / (weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    flat = x.reshape(1, -1, height, across)
    if layer.blur is None:
        out = conv2d(flat, weights.flatten(0, 1), padding=layer.padding, groups=n)
        return out.view(n, -1, height, across)
    out = conv_transpose2d(flat, weights.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
    return layer.blur(out.view(n, -1, 2 * height + 1, 2 * across + 1))


@pytest.mark.parametrize(
    ("kernel", "up", "demodulate"), [(3, False, True), (3, True, True), (1, False, False), (1, False, True)]
)
def test_scaling_inputs_and_outputs_is_the_grouped_convolution(kernel: int, up: bool, demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = Modulated(4, 3, kernel, 5, up=up, demodulate=demodulate).double()
    x, w = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((6, 4, 5, 5), (6, 5)))
    ours, theirs = layer(x, w), grouped(layer, x, w)
    assert ours.shape == (6, 3, 10, 10) if up else (6, 3, 5, 5)
    assert torch.allclose(ours, theirs)
    y = torch.randn_like(ours)
    wanted = [x, w, layer.weight]
    for one, other in zip(torch.autograd.grad(ours, wanted, y), torch.autograd.grad(theirs, wanted, y), strict=True):
        assert torch.allclose(one, other)


def test_demodulated_maps_keep_the_variance_whatever_the_style() -> None:
    """Section 2.2: weights of unit norm for each output give unit variance to independent inputs of it."""
    torch.manual_seed(0)
    layer, x = Modulated(64, 32, 3, 5), torch.randn(4, 64, 34, 34)
    out = layer(x, 10 * torch.randn(4, 5))[..., 1:-1, 1:-1]
    assert torch.allclose(out.square().mean(dim=(1, 2, 3)), torch.ones(4), atol=0.1)


def test_doubling_is_a_convolution_of_the_enlarged_map() -> None:
    """A kernel of ones at one place only moves the map: what is left is the bilinear filter (1, 3, 3, 1)."""
    layer = Modulated(1, 1, 3, 1, up=True, demodulate=False)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    layer.affine.bias.data.fill_(1.0)
    layer.weight.data[0, 0, 1, 1] = 1 / layer.scale
    x = torch.randn(1, 1, 6, 6)
    up = interpolate(x, scale_factor=2, mode="bilinear")
    # The centre of a transposed 3×3 kernel lies one place further than an enlarged map's.
    assert torch.allclose(layer(x, torch.zeros(1, 1))[..., 2:-2, 2:-2], up[..., 2:-2, 2:-2], atol=1e-6)


def test_the_images_of_all_sizes_add_up() -> None:
    z, parts = torch.randn(3, 6), []
    whole = networks(mixing=0.0).generator(z).images
    for kept in range(3):
        only = networks(mixing=0.0).generator
        for level, layer in enumerate(only.to_images):
            if level != kept:
                nn.init.zeros_(layer.conv.weight)
        parts.append(only(z).images)
    assert torch.allclose(sum(parts), whole, atol=1e-5)


def test_a_block_is_the_mean_of_two_ways_in_variance() -> None:
    torch.manual_seed(0)
    block, x = Block(4, 3), torch.randn(2, 4, 8, 8)
    out = block(x)
    assert out.shape == (2, 3, 4, 4)
    assert torch.allclose(out * 2**0.5, block.layers(x) + block.shortcut(x), atol=1e-6)
    strided = [layer.stride for layer in block.modules() if isinstance(layer, EqualConv2d)]
    assert strided == [(1, 1), (2, 2), (1, 1)]


@pytest.mark.parametrize("side", [8, 16, 32])
def test_shapes_at_each_side(side: int) -> None:
    generator, critic = networks(side)
    generated = generator(torch.randn(4, 6))
    assert generated.images.shape == (4, 1, side, side)
    assert generated.style.shape == (4, 2 * int(np.log2(side // 2)), 5)
    (slopes,) = torch.autograd.grad(generated.images.square().sum(), generated.style)
    assert slopes.flatten(2).abs().sum(dim=2).all()
    assert critic(generated.images).features.shape == (4, 4)


# Path length.


class Linear(nn.Module):
    """Images A w for two styles w = (z, 2z): J is known."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        style = torch.stack([z, 2 * z], dim=1) * self.one
        return Generated((style.sum(dim=1) @ self.matrix.T).view(-1, 2, 2, 2), style)


def test_the_path_length_is_equation_four() -> None:
    """For G(w) = A (w₁ + w₂), Jᵀy is Aᵀy for both layers: the length is ‖Aᵀy‖, whatever w is."""
    effect = PathLength(PathLengthOptions(weight=3.0, decay=0.75, every=1))
    game = make_game(linear_critic([1.0, 0.0]))
    game.networks["generator"] = Linear()
    step = make_step(game, "generator")
    y = step.draw.scoped("path-length").normal("y", 2, 2, 2).flatten(1) / 2
    lengths = (y @ game.networks["generator"].matrix).norm(dim=1)
    mean = 0.25 * lengths.mean()
    assert effect.penalty(step).item() == pytest.approx(3 * (lengths - mean).square().mean().item(), rel=1e-5)
    assert effect.mean == 0
    effect.after_step(step)
    assert effect.mean.item() == pytest.approx(mean.item())


def test_it_is_paid_in_every_fourth_step_four_times_as_high() -> None:
    effect = PathLength(PathLengthOptions())
    game = make_game(linear_critic([1.0, 0.0]))
    game.effects["path"] = effect
    game.networks["generator"] = Linear()
    paid: dict[int, float] = {}
    for round_ in range(9):
        step = make_step(game, "generator", round=round_)
        step.fake = torch.zeros(6, 2)
        penalties = game._penalties(step, {})
        if penalties:
            once = 2 * (effect.lengths(step) - effect.seen).square().mean()
            paid[round_] = float((penalties["path"] / once).detach())
    assert paid == {0: pytest.approx(4), 4: pytest.approx(4), 8: pytest.approx(4)}


def test_a_generator_without_styles_is_refused() -> None:
    with pytest.raises(GanforgeError, match="the generator of 'none' has no styles"):
        make_game(linear_critic([1.0, 0.0]), path=PathLength(PathLengthOptions()))


# The recipe.


def test_the_recipe_is_the_papers(registry: Registry) -> None:
    """c = k / (k + 1): G pays every 4th step, D every 16th."""
    config = resolved(registry, "stylegan2", "digits", "data.resolution=32")
    for one, share in ((config.generator, 4 / 5), (config.discriminator, 16 / 17)):
        assert (one.optimizer, one.moves) == ("adam", 1)
        assert one.lr == pytest.approx(0.002 * share)
        assert one.betas == pytest.approx((0.0, 0.99**share))
    assert (config.loss.name, config.latent.name, config.latent.dim) == ("non-saturating", "normal", 512)
    assert config.regularizers == {
        "r1": {"gamma": 10.0, "every": 16},
        "path-length": {"weight": 2.0, "decay": 0.99, "every": 4},
    }
    assert config.ema.decay ** (10_000 / config.batch_size) == pytest.approx(0.5)


def test_points_are_refused(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="recipe 'stylegan2' makes images, not points"):
        resolved(registry, "stylegan2", "ring")


@pytest.mark.parametrize("settings", [(), ("conditioning=concat", "architecture.cutoff=2")])
def test_it_resumes_exactly_and_its_file_gives_the_same_pictures_at_any_psi(
    registry: Registry, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "stylegan2", "digits", "data.resolution=16", *SMALL, *settings)
    assert run.game.effects["path-length"].mean > 0
    card = export(run, tmp_path / "file.onnx")
    assert [one.name for one in card.inputs][:2] == ["z", "truncation"]
    model = load(tmp_path / "file.onnx")
    pictures = {}
    for psi in (None, 0.5):
        pictures[psi] = to_pixels(run.sample(6, 1, truncation=psi)).astype(int)
        assert np.abs(pictures[psi] - model.sample(6, 1, truncation=psi)).max() <= 1
    assert not np.array_equal(pictures[None], pictures[0.5])
