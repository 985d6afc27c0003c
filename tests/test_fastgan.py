"""FastGAN: skip-layer excitation, both networks' plans, the reconstructions by hand, the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import assert_resumes_exactly, resolved
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.config import load_data, parse_settings, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock, Game, Networks, Step
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.papers.fastgan import FastganOptions
from ganforge.plugins.papers.fastgan.decoders import cut, decoder
from ganforge.plugins.papers.fastgan.networks import SIDES, Down, Excitation, Excited, Noise, build

NARROW = ("architecture.width=2", "regularizers.reconstruction.width=2")


def networks(side: int, width: int = 2, colours: int = 3) -> Networks:
    return build(FastganOptions(width=width), Built(data=DataSpec(shape=(colours, side, side)), latent=Latent(dim=5)))


def joined(maps: Excited) -> list[tuple[int, int]]:
    """Channels of each source and of what it excites."""
    return [(e.weigh[1].in_channels, e.weigh[1].out_channels) for e in maps.excitations]


def playing(registry: Registry, *settings: str) -> tuple[Game, Step]:
    """A game on digits and a move of its discriminator."""
    request = parse_settings(["recipe=fastgan", "data=digits", *NARROW, "observers=[]", *settings])
    config, data = resolve(request, registry)
    game = build_game(config, data.spec, registry)
    draw = Draw(0, 0, "discriminator", 0, 8, game.device, Stream(data, 0), 0)
    return game, Step(game, game.players[0], draw, Clock(0, 10, 0))


# The networks.


def test_an_excitation_by_hand() -> None:
    """y = F(x_low) x_high: one number for each image and channel, between 0 and 1."""
    torch.manual_seed(0)
    block, low, high = Excitation(3, 5), torch.randn(2, 3, 8, 8), torch.randn(2, 5, 32, 32)
    _, first, _, second, _ = block.weigh
    pooled = avg_pool2d(low, 2)
    hidden = torch.einsum("nchw,ochw->no", pooled, first.weight)
    hidden = hidden * torch.sigmoid(hidden)
    weights = torch.sigmoid(hidden @ second.weight[:, :, 0, 0].T)
    assert torch.allclose(block(low, high), high * weights[:, :, None, None], atol=1e-6)


def test_each_map_is_excited_by_the_one_so_many_blocks_before() -> None:
    """Blocks that add one, and excitations that multiply by the mean of their source."""
    maps = Excited([nn.Identity() for _ in range(4)], [1] * 5, apart=2)
    for block, add in zip(range(4), (1.0, 2.0, 3.0, 4.0), strict=True):
        maps.blocks[block] = Plus(add)
    maps.excitations = nn.ModuleList(Times() for _ in range(3))
    found = [float(one) for one in maps(torch.ones(1, 1, 1, 1))]
    third = (2 + 2) * 1
    fourth = (third + 3) * 2
    assert found == [1, 2, third, fourth, (fourth + 4) * third]


class Plus(nn.Module):
    def __init__(self, add: float) -> None:
        super().__init__()
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        return x + self.add


class Times(nn.Module):
    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return low * high


def test_at_256_the_widths_are_the_authors() -> None:
    with torch.device("meta"):
        made = networks(256, 64)
    generator, discriminator = made
    assert [block[1].out_channels // 2 for block in generator.maps.blocks] == [512, 256, 128, 128, 64, 32]
    assert [sum(isinstance(m, Noise) for m in block) for block in generator.maps.blocks] == [2, 0, 2, 0, 2, 0]
    assert joined(generator.maps) == [(1024, 128), (512, 64), (256, 32)]  # 4 → 64, 8 → 128, 16 → 256
    assert discriminator.first[0].out_channels == 16
    assert [block.direct[1].out_channels for block in discriminator.maps.blocks] == [32, 64, 128, 256, 512]
    assert joined(discriminator.maps) == [(16, 128), (32, 256), (64, 512)]
    assert [m.out_channels for m in discriminator.small.modules() if isinstance(m, nn.Conv2d)] == [32, 64, 128, 256]
    assert [m.out_channels for m in discriminator.judge if isinstance(m, nn.Conv2d)] == [1024, 1]


@pytest.mark.parametrize(("side", "excitations"), [(16, 1), (32, 1), (64, 1), (128, 2), (256, 3), (512, 4), (1024, 4)])
def test_every_size_fits(side: int, excitations: int) -> None:
    made = networks(side)
    assert len(made.generator.maps.excitations) == excitations
    with torch.no_grad():
        images = made.generator.eval()(torch.randn(1, 5)).images
        critique = made.discriminator.eval()(images)
    assert images.shape == (1, 3, side, side)
    assert critique.logits.shape == (1, 26 if side == 16 else 50)
    sides = {name: maps.shape[-1] for name, maps in critique.aux.items()}
    assert sides == {"whole": 8, "part": 16, "small": 4 if side == 16 else 8, "seen": side}


def test_halving_is_the_mean_of_two_ways() -> None:
    block, x = Down(3, 4).eval(), torch.randn(2, 3, 8, 8)
    assert torch.equal(block(x), (block.main(x) + block.direct(x)) / 2)
    assert block(x).shape == (2, 4, 4, 4)


def test_noise_is_learned_from_nothing_and_for_training_only() -> None:
    noise, x = Noise(), torch.zeros(2, 3, 4, 4)
    assert torch.equal(noise(x), x)
    noise.weight.data.fill_(2.0)
    drawn = noise(x)
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert drawn.std() > 1
    assert torch.equal(noise.eval()(x), x)


def test_what_cannot_be_built_is_refused(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="architecture 'fastgan' cannot build 8×8"):
        networks(8)
    with pytest.raises(GanforgeError, match="architecture 'fastgan' builds images"):
        build(FastganOptions(), Built(data=DataSpec(shape=(2,)), latent=Latent()))
    settings = ("regularizers.reconstruction=true", "architecture.width=4")
    config = resolved(registry, "dcgan", "digits", *settings)
    with pytest.raises(GanforgeError, match="architecture 'dcgan' gives no maps to decode; set architecture=fastgan"):
        build_game(config, load_data(config.data, registry).spec, registry)


# The reconstructions.


def test_the_error_by_hand(registry: Registry) -> None:
    """Each image against what D saw, at half its side; the part against its quarter, which has that side already."""
    game, step = playing(registry, "regularizers.diffaugment=true", "data.resolution=32")
    penalty = game.effects["reconstruction"].penalty(step)
    aux = step.on_real.aux
    quarter = step.draw.scoped("reconstruction").key("quarter") % 4
    top, left = divmod(quarter, 2)
    decode = game.networks["discriminator-decoders"].decoders
    part = aux["part"][:, :, 8 * top : 8 * top + 8, 8 * left : 8 * left + 8]
    seen = aux["seen"]
    errors = [
        (decode["whole"](aux["whole"]) - avg_pool2d(seen, 2)).abs().mean(),
        (decode["part"](part) - seen[:, :, 16 * top : 16 * top + 16, 16 * left : 16 * left + 16]).abs().mean(),
        (decode["small"](aux["small"]) - avg_pool2d(seen, 2)).abs().mean(),
    ]
    assert penalty.item() == pytest.approx(sum(errors).item(), rel=1e-5)
    assert not torch.equal(seen, step.real)  # augmented


def test_the_weight_is_that_of_the_sum(registry: Registry) -> None:
    (one, step), (two, again) = playing(registry), playing(registry, "regularizers.reconstruction.weight=3")
    first, second = (g.effects["reconstruction"].penalty(s) for g, s in ((one, step), (two, again)))
    assert second.item() == pytest.approx(3 * first.item())


def test_quarters_by_hand() -> None:
    maps = {"part": torch.arange(16.0).view(1, 1, 4, 4), "whole": torch.zeros(1)}
    corners = [cut(maps, "part", quarter)["part"][0, 0, 0, 0].item() for quarter in range(4)]
    assert corners == [0, 2, 8, 10]
    assert cut(maps, "part", 3)["part"].shape == (1, 1, 2, 2)
    assert cut(maps, "part", 3)["whole"] is maps["whole"]


def test_every_quarter_has_its_turn(registry: Registry) -> None:
    _, step = playing(registry)
    draws = [Draw(0, round_, "discriminator", 0, 8, step.draw.device, step.draw.stream, 0) for round_ in range(40)]
    assert {draw.scoped("reconstruction").key("quarter") % 4 for draw in draws} == {0, 1, 2, 3}


def test_the_discriminator_and_its_decoders_learn_from_it(registry: Registry) -> None:
    game, step = playing(registry)
    game.effects["reconstruction"].penalty(step).backward()
    learned = {name for name, p in game.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    owners = {name.split(".")[1] for name in learned}
    assert owners == {"discriminator", "discriminator-decoders"}
    assert game.players[0].networks == ["discriminator", "discriminator-decoders"]


@pytest.mark.parametrize("side", SIDES)
def test_decoded_images_have_half_the_side_or_128(side: int) -> None:
    half = min(128, side // 2)
    assert decoder(4, 3, half, 2).eval()(torch.randn(1, 4, 8, 8)).shape == (1, 3, half, half)
    assert adaptive_avg_pool2d(torch.ones(1, 1, side, side), half).shape[-1] == half


# The recipe.


def test_the_recipe_has_the_papers_numbers(registry: Registry) -> None:
    config = resolved(registry, "fastgan", "digits")
    assert (config.loss.name, config.batch_size, config.latent.dim) == ("hinge", 8, 256)
    assert (config.generator.lr, config.discriminator.betas) == (2e-4, (0.5, 0.999))
    assert config.regularizers["spectral-norm"]["networks"] == "both"
    assert config.regularizers["diffaugment"] == {"colour": True, "translation": 0.125, "cutout": 0}


def test_everything_is_normalised(registry: Registry) -> None:
    game, _ = playing(registry)
    layers = [m for m in game.networks.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert layers
    assert all(hasattr(layer, "parametrizations") for layer in layers)


def test_training_resumes_exactly_and_its_file_is_proved(registry: Registry, tmp_path: Path) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "fastgan", "digits", *NARROW, "data.limit=100")
    assert any(float(m.weight.detach()) for m in run.game.networks["generator"].modules() if isinstance(m, Noise))
    card = export(run, tmp_path / "model.onnx")
    assert card.parity is not None
    assert card.parity.max_difference <= card.parity.tolerance


def test_it_goes_on_from_a_run_with_layers_held(registry: Registry, tmp_path: Path) -> None:
    from ganforge.core import train

    base = ["recipe=fastgan", "data=digits", *NARROW, "steps=2", "observers=[]", "samples=4", "machine.threads=1"]
    source = train(parse_settings(base), tmp_path / "source", registry=registry)
    further = [*base, f"start={tmp_path / 'source'}", "regularizers.freeze.layers=2"]
    run = train(parse_settings(further), tmp_path / "run", registry=registry)
    there, here = (game.networks["discriminator"].first[0].weight for game in (source.game, run.game))
    assert torch.allclose(there, here, atol=1e-3)
    decoders = run.game.networks["discriminator-decoders"]
    assert all(p.requires_grad for p in decoders.parameters())


@pytest.mark.parametrize("conditioning", ["auxiliary-classifier", "semi-supervised", "projection", "concat"])
def test_what_takes_labels_keeps_the_maps(registry: Registry, conditioning: str) -> None:
    game, step = playing(registry, f"discriminator.conditioning={conditioning}")
    assert game.effects["reconstruction"].penalty(step).item() > 0
