"""SRGAN: its losses by hand, its stages, resizing against Pillow, VGG19 from a file, pictures and errors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_games import assert_resumes_exactly, player, resolved
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.config import load_data
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.papers.srgan.features import VGG54, vgg19
from ganforge.plugins.papers.srgan.game import bicubic, shrunk

SMALL = ("architecture.width=4", "architecture.blocks=1", "architecture.critic_width=2", "architecture.dense=8")
RANDOM = "recipe.features=random-smoke-test"


def built(registry: Registry, *settings: str) -> tuple[Any, Stream]:
    config = resolved(registry, "srgan", "digits", *SMALL, RANDOM, "steps=10", "batch_size=8", *settings)
    data = load_data(config.data, registry)
    return build_game(config, data.spec, registry), Stream(data, 0)


def objective(game: Any, stream: Stream, role: str, round_: int = 9) -> Any:
    mover = player(game, role)
    draw = Draw(0, round_, mover.name, 0, 8, game.device, stream, round_)
    return game.objective(mover, draw, Clock(round_, 10, 0))


# The losses.


def test_the_generators_loss_is_equation_3(registry: Registry) -> None:
    weights = {"pixels": 0.7, "content": 0.3, "adversarial": 0.01}
    game, stream = built(registry, *(f"recipe.{key}={value}" for key, value in weights.items()))
    found = objective(game, stream, "generator")
    real = found.step.real.detach()
    made = game.networks["generator"](shrunk(real, 4).flatten(1)).images
    content = mse_loss(game.features(made), game.features(real))
    adversarial = softplus(-game.networks["discriminator"](made).logits).mean()
    expected = 0.7 * mse_loss(made, real) + 0.3 * content + 0.01 * adversarial
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_features_none_are_made(registry: Registry) -> None:
    game, stream = built(registry, "recipe.content=0", "recipe.features=nowhere")
    assert torch.isfinite(objective(game, stream, "generator").loss)


def test_the_critic_tells_real_pictures_from_the_same_ones_enlarged(registry: Registry) -> None:
    game, stream = built(registry)
    found = objective(game, stream, "discriminator")
    real = found.step.real.detach()
    made, critic = game.networks["generator"](shrunk(real, 4).flatten(1)).images, game.networks["discriminator"]
    expected = softplus(-critic(real).logits).mean() + softplus(critic(made).logits).mean()
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_at_first_the_generator_learns_alone_on_pixels(registry: Registry) -> None:
    game, stream = built(registry, "recipe.warmup=0.3")
    names = [[player.name for player in game.moving(Clock(i, 10, 0))] for i in range(5)]
    assert names == [["generator"]] * 3 + [["discriminator", "generator"]] * 2
    found = objective(game, stream, "generator", round_=2)
    expected = mse_loss(found.step.generated.images, found.step.real)
    assert found.loss.item() == pytest.approx(expected.item())
    before = [p.clone() for p in game.networks["discriminator"].parameters()]
    play_round(game, stream, Clock(2, 10, 0))
    after = game.networks["discriminator"].parameters()
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


# Resizing and features.


def test_pictures_shrink_as_pillows_bicubic() -> None:
    image = np.random.default_rng(0).uniform(-0.5, 0.5, (16, 16)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.BICUBIC))
    found = shrunk(torch.from_numpy(image)[None, None], 4)[0, 0]
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_keeps_what_has_no_detail(factor: int) -> None:
    flat = torch.full((1, 3, 16, 16), 0.25)
    assert torch.allclose(bicubic(shrunk(flat, factor), factor), flat, atol=1e-6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, nn.Sequential]:
    """A file as torchvision's VGG19 is saved, of random half-precision numbers, and its network."""
    vgg = import_with_torchvision("torchvision.models.vgg")
    torch.manual_seed(0)
    layers: nn.Sequential = vgg.make_layers(vgg.cfgs["E"])[:VGG54].half()
    file = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({f"features.{key}": value for key, value in layers.state_dict().items()}, file)
    return file, hashlib.sha256(file.read_bytes()).hexdigest(), layers.float()


def test_vgg19_comes_from_a_file_that_is_what_it_should_be(weights: tuple[Path, str, nn.Sequential]) -> None:
    file, sha256, layers = weights
    assert isinstance(layers[-1], nn.ReLU)
    assert [isinstance(layer, nn.MaxPool2d) for layer in layers].count(True) == 4
    images = torch.rand(2, 1, 32, 32, requires_grad=True)
    found = vgg19(file, sha256, torch.device("cpu"))(images)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((images.expand(-1, 3, -1, -1) + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
    assert torch.allclose(found, layers(normalised) / 12.75, atol=1e-5)
    assert torch.autograd.grad(found.sum(), images)[0].shape == images.shape


def test_another_file_is_refused(weights: tuple[Path, str, nn.Sequential], tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match="is not the weights file known"):
        vgg19(weights[0], "0" * 64, torch.device("cpu"))
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, other)
    with pytest.raises(GanforgeError, match="holds no weights of torchvision's VGG19"):
        vgg19(other, hashlib.sha256(other.read_bytes()).hexdigest(), torch.device("cpu"))


# The recipe.


def test_pictures_show_small_bicubic_enlarged_and_real_ones(registry: Registry) -> None:
    game, stream = built(registry)
    shown, labels = game.pictured(game.latent.sample(0, 36), None, stream.data)
    assert labels is None
    assert len(shown) == 36
    real = torch.from_numpy(stream.data.fetch(np.arange(36))[0] / np.float32(127.5) - 1)
    small = shrunk(real, 4)
    assert np.allclose(shown[18:24], real[:6], atol=1e-6)
    assert np.allclose(shown[6:12], bicubic(small[:6], 4), atol=1e-5)
    assert np.allclose(shown[12:18], game.enlarge(small)[:6], atol=1e-5)
    assert np.allclose(shown[24:], game.enlarge(small)[24:], atol=1e-5)
    assert np.allclose(shown[:6, :, ::4, ::4], small[:6], atol=1e-6)


def test_a_latent_is_the_small_picture(registry: Registry) -> None:
    """What an exported file takes as z: the small picture's values, in the order of memory."""
    game, _ = built(registry)
    small = torch.rand(3, 1, 4, 4)
    assert np.allclose(game.sample(small.flatten(1).numpy()), game.enlarge(small), atol=1e-6)


@pytest.mark.parametrize(
    ("data", "settings", "sentence"),
    [
        ("ring", (), "super-resolution is of images, not points"),
        ("digits", ("data.resolution=10",), "a factor of 4 does not divide 10×10"),
        (
            "digits",
            ("recipe.factor=2", "architecture.factor=4"),
            "recipe 'srgan' enlarges with architecture 'srresnet' by its own factor",
        ),
        ("digits", ("architecture=dcgan",), "recipe 'srgan' enlarges with architecture 'srresnet' by its own factor"),
        ("digits", ("latent.dim=17",), "recipe 'srgan' has the small picture as its latent"),
        ("digits", ("latent.dim=7",), "option 'latent.dim': architecture 'srresnet' takes the small picture"),
        ("digits", ("recipe.vgg=vgg19.pth",), "option 'recipe': vgg needs vgg_sha256"),
    ],
)
def test_what_does_not_fit_is_said(registry: Registry, data: str, settings: tuple[str, ...], sentence: str) -> None:
    def build() -> None:
        config = resolved(registry, "srgan", data, *settings)
        build_game(config, load_data(config.data, registry).spec, registry)

    with pytest.raises(GanforgeError) as error:
        build()
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 8)])
def test_it_builds_for_any_sides_the_factor_divides(registry: Registry, factor: int, shape: tuple[int, ...]) -> None:
    spec = DataSpec(shape=shape)
    dim = int(np.prod(shape)) // factor**2
    config = resolved(registry, "srgan", "digits", *SMALL, f"recipe.factor={factor}", f"latent.dim={dim}")
    game: Any = build_game(config, spec, registry)
    made: Tensor = game.enlarge(torch.zeros(2, shape[0], shape[1] // factor, shape[2] // factor))
    assert made.shape == (2, *shape)
    assert game.networks["discriminator"](made).logits.shape == (2,)


@pytest.mark.parametrize("settings", [("recipe.warmup=0.9",), ("recipe.warmup=0.2", "conditioning=concat")])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "srgan", "digits", *SMALL, RANDOM, *settings)
