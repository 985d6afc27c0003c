"""ProGAN: equalised layers, pixel norm, the schedule, fading in both networks and in the reals, drift, the recipe."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, linear_critic, make_game, make_step, player, resolved
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from ganforge.core import Built, DataSpec, GanforgeError, Latent, Run, resume, train
from ganforge.core.config import parse_settings, resolve
from ganforge.core.draw import Batch
from ganforge.core.game import Clock, Networks
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.blocks.equalised import EqualConv2d, EqualLinear, PixelNorm
from ganforge.plugins.blocks.growing import Stage, level_widths
from ganforge.plugins.papers.progan import DriftOptions, GrowingOptions, ProganOptions
from ganforge.plugins.papers.progan.drift import Drift
from ganforge.plugins.papers.progan.growing import Growing
from ganforge.plugins.papers.progan.networks import build
from ganforge.serve import load

GROWING = "regularizers.progressive-growing"
SMALL = ("architecture.width=8", "latent.dim=6", f"{GROWING}.stable=8", f"{GROWING}.fade=24", "data.resolution=16")


def networks(side: int = 16, channels: int = 1, **options: int) -> Networks:
    torch.manual_seed(0)
    given = parse(ProganOptions, {"width": 4, **options})
    return build(given, Built(data=DataSpec(shape=(channels, side, side)), latent=Latent(dim=5)))


def at(nets: Networks, place: float) -> Networks:
    for network in nets:
        network.configure(place=place)
    return nets


def double(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0, mode="nearest")


# Layers.


def test_a_layer_multiplies_its_weights_by_hes_constant() -> None:
    """√(2 / inputs), so that N(0, 1) is He's start and a gradient reaches the weights by the same factor."""
    torch.manual_seed(0)
    layer, x = EqualConv2d(8, 64), torch.randn(2, 8, 5, 5)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.03)
    expected = conv2d(x, layer.weight * (2 / 72) ** 0.5, layer.bias, padding=1)
    assert torch.allclose(layer(x), expected)
    line = EqualLinear(4, 2, gain=1.0, rate=0.01, start=1.0)
    line.weight.data.copy_(torch.arange(8.0).view(2, 4))
    assert torch.allclose(line(torch.ones(1, 4)), torch.tensor([[6.0, 22.0]]) * 0.01 / 2 + 1)
    assert torch.equal(line.bias, torch.full((2,), 100.0))


def test_pixel_norm_has_a_mean_square_of_one_over_channels() -> None:
    x = torch.tensor([[3.0, 4.0]]).view(1, 2, 1, 1)
    assert torch.allclose(PixelNorm()(x).flatten(), torch.tensor([3.0, 4.0]) / 12.5**0.5)
    assert torch.allclose(PixelNorm()(torch.randn(3, 7)).square().mean(dim=1), torch.ones(3))


# Networks.


def test_at_1024_the_networks_are_the_papers() -> None:
    """Table 2: 23.1 million trainable parameters each, 512 channels up to 32×32 and 16 at 1024×1024."""
    data = DataSpec(shape=(3, 1024, 1024))
    with torch.device("meta"):
        both = build(ProganOptions(), Built(data=data, latent=Latent(dim=512)))
    assert [round(sum(p.numel() for p in network.parameters()) / 1e6, 1) for network in both] == [23.1, 23.1]
    assert level_widths("progan", data, 512, 32) == [512, 512, 512, 512, 256, 128, 64, 32, 16]


@pytest.mark.parametrize("place", [0, 0.5, 1, 1.25, 2])
def test_images_have_the_datas_side_at_any_stage(place: float) -> None:
    generator, critic = at(networks(), place)
    images = generator(torch.randn(4, 5)).images
    assert images.shape == (4, 1, 16, 16)
    factor = 16 // (4 * 2 ** int(np.ceil(place)))
    assert torch.allclose(interpolate(avg_pool2d(images, factor), scale_factor=float(factor)), images)
    said = critic(images)
    assert (said.logits.shape, said.features.shape) == ((4,), (4, 4))


def test_a_fading_generator_mixes_the_images_of_two_sizes() -> None:
    """(1 - α) enlarged images of the level before + α those of the new: figure 2b; α = 0 is figure 2a."""
    nets, z = networks(), torch.randn(3, 5)
    before, after = (at(nets, place).generator(z).images for place in (1, 2))
    assert torch.allclose(at(nets, 1.25).generator(z).images, 0.75 * before + 0.25 * after, atol=1e-6)


def test_a_fading_discriminator_mixes_the_maps_of_two_sizes() -> None:
    critic, x = networks().discriminator, torch.randn(4, 1, 16, 16)
    critic.configure(place=1.25)
    small = avg_pool2d(x, 2)
    maps = 0.75 * critic.from_images[1](small) + 0.25 * critic.blocks[1](critic.from_images[2](x))
    expected = critic.output(critic.head(critic.blocks[0](maps))).flatten()
    assert torch.allclose(critic(x).logits, expected, atol=1e-6)
    critic.configure(place=1)
    assert torch.allclose(critic(double(small)).logits, critic(x).logits, atol=1e-6)


def test_layers_not_in_use_get_no_gradient() -> None:
    generator, critic = at(networks(), 0.5)
    critic(generator(torch.randn(4, 5)).images).logits.sum().backward()
    idle = {name for net in (generator, critic) for name, p in net.named_parameters() if p.grad is None}
    assert {name.partition(".")[0] + name.split(".")[1] for name in idle} == {"blocks1", "to_images2", "from_images2"}


def test_the_stage_is_loaded_with_the_weights() -> None:
    grown, fresh = at(networks(), 1.3).generator, networks().generator
    fresh.load_state_dict(grown.state_dict())
    z = torch.randn(2, 5)
    assert (fresh.stage.top, fresh.stage.alpha) == (2, grown.stage.alpha)
    assert torch.equal(fresh(z).images, grown(z).images)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((2,), "builds images, not points.*architecture=mlp"), ((1, 28, 28), "cannot build 28×28; it builds squares of")],
)
def test_what_it_cannot_build_it_says(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(GanforgeError, match=f"architecture 'progan' {said}"):
        build(ProganOptions(), Built(data=DataSpec(shape=shape), latent=Latent(dim=5)))


# Growing.


def test_the_schedule_is_the_papers() -> None:
    """4×4 for 800k images, 8×8 fading in for 800k, 8×8 for 800k and so on."""
    effect = Growing(GrowingOptions())
    effect.first, effect.last = 0, 2
    thousands = {0: 0, 799: 0, 800: 0, 1200: 0.5, 1600: 1, 2400: 1, 2800: 1.5, 3200: 2, 9999: 2}
    assert {at: effect.place(1000 * at) for at in thousands} == thousands


def test_reals_lose_what_detail_the_networks_cannot_show() -> None:
    stage, x = Stage(2), torch.randn(2, 1, 16, 16)
    assert torch.equal(stage.faded(x), x)
    stage.set(1)
    assert torch.allclose(stage.faded(x), double(avg_pool2d(x, 2)))
    stage.set(0.25)
    small, smaller = avg_pool2d(x, 2), avg_pool2d(x, 4)
    assert torch.allclose(stage.faded(x), double(0.75 * double(smaller) + 0.25 * small), atol=1e-6)


def game_at(registry: Registry, *settings: str) -> Any:
    request = parse_settings(["recipe=progan", "data=digits", "observers=[]", "batch_size=8", *SMALL, *settings])
    config, data = resolve(request, registry)
    return build_game(config, data.spec, registry)


def test_a_round_sets_networks_averages_and_reals_alike(registry: Registry) -> None:
    game = game_at(registry)
    assert game.ema["generator"].stage.place == 0
    game.before_round(Clock(2, 100, 20))
    for network in (game.networks["generator"], game.networks["discriminator"], game.ema["generator"]):
        assert network.stage.place == 0.5
    effect = game.effects["progressive-growing"]
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(
        effect.real(Batch(x, None), Clock(2, 100, 20)).samples, game.networks["generator"].stage.faded(x)
    )


def test_moments_are_forgotten_when_a_phase_begins(registry: Registry) -> None:
    game = game_at(registry)
    parameter = game.players[0].parameters[0]
    kept = []
    for round_ in range(10):
        for player_ in game.players:
            player_.optimizer.state[parameter] = {"marked": True}
        game.before_round(Clock(round_, 100, 8 * round_))
        kept.append(all(parameter in player_.optimizer.state for player_ in game.players))
    # 8×8 begins to fade in after 8 images (it is seen from 16 on), and is there at 32; so does 16×16 from 40 on.
    assert [round_ for round_, one in enumerate(kept) if not one] == [2, 4, 6, 8]


def test_a_training_that_ends_too_soon_says_so(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    game = game_at(registry)
    with caplog.at_level(logging.WARNING, "ganforge"):
        game.before_round(Clock(0, 7, 0))
        game.before_round(Clock(0, 8, 0))
    assert caplog.messages == ["this training ends at 8×8, before it reaches 16×16"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("architecture.name=dcgan",), "architecture 'dcgan' cannot grow"),
        ((f"{GROWING}.start=12",), "must be a power of two up to the data's side 16, not 12"),
        ((f"{GROWING}.start=32",), "must be a power of two up to the data's side 16, not 32"),
    ],
)
def test_what_cannot_grow_is_refused(registry: Registry, settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(GanforgeError, match=said):
        game_at(registry, *settings)


def test_the_drift_is_the_mean_square_of_the_scores_of_reals() -> None:
    """D(x) = 2 x₁: ε 4 mean x₁²."""
    game = make_game(linear_critic([2.0, 0.0]), drift=Drift(DriftOptions(weight=0.5)))
    step = make_step(game)
    loss = game.objective(player(game, "discriminator"), step.draw, step.clock).loss
    assert loss.item() == pytest.approx(2 * step.real[:, 0].square().mean().item())


# The recipe.


def test_the_recipe_is_the_papers(registry: Registry) -> None:
    config = resolved(registry, "progan", "digits", "data.resolution=32")
    for one in (config.generator, config.discriminator):
        assert (one.optimizer, one.lr, one.betas, one.moves) == ("adam", 1e-3, (0.0, 0.99), 1)
    assert (config.loss.name, config.latent.name, config.latent.dim) == ("wasserstein", "sphere", 512)
    assert (config.batch_size, config.ema.decay) == (16, 0.999)
    assert config.regularizers == {
        "progressive-growing": {"start": 4, "stable": 800_000, "fade": 800_000, "reset": True},
        "gradient-penalty": {"weight": 10.0, "target": 1.0, "one_sided": False},
        "drift": {"weight": 1e-3},
    }
    # Four sizes that stay, three that fade in.
    assert config.steps * config.batch_size == 7 * 800_000
    assert resolved(registry, "progan", "digits", "data.resolution=32", "recipe.phase=1000").steps == 438


def rounds(run: Run) -> float:
    return float(run.game.ema["generator"].stage.place)


def test_killed_in_mid_fade_it_resumes_exactly(registry: Registry, tmp_path: Path) -> None:
    """Six rounds of 8 images, cut at the third: there 8×8 is half in, and at the end 16×16 begins."""
    run = assert_resumes_exactly(registry, tmp_path, "progan", "digits", *SMALL, f"{GROWING}.stable=4")
    assert rounds(run) == pytest.approx(1 + (40 - 28 - 4) / 24)
    middle = Run.load(tmp_path / "again", registry=registry)
    middle.checkpoints[-1].rename(tmp_path / "kept")
    assert rounds(middle) == pytest.approx((16 - 4) / 24)


def test_a_file_shows_the_stage_of_its_run_and_holds_no_other_layer(registry: Registry, tmp_path: Path) -> None:
    sizes = ["steps=3", "every=3", "batch_size=8", "samples=4", "observers=[]"]
    run = train(parse_settings(["recipe=progan", "data=digits", *sizes, *SMALL]), tmp_path / "run", registry=registry)
    files = [tmp_path / f"{name}.onnx" for name in ("fading", "grown")]
    export(run, files[0])
    whole = resume(tmp_path / "run", steps=9, registry=registry)
    card = export(whole, files[1])
    assert card.parity is not None
    assert [rounds(run), rounds(whole)] == pytest.approx([1 / 3, 2])
    pictures = [load(file).sample(3, 1)[..., 0] for file in files]
    assert np.array_equal(pictures[0][:, ::2, ::2], pictures[0][:, 1::2, 1::2])
    assert not np.array_equal(pictures[1][:, ::2, ::2], pictures[1][:, 1::2, 1::2])
    sizes_ = [file.stat().st_size for file in files]
    assert all(small < large for small, large in pairwise(sizes_))
