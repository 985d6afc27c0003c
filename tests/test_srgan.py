"""SRGAN: its losses by hand, its stages, resizing against Pillow, VGG19 from a file, pictures, files and errors."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command import done, refused
from PIL import Image
from served import app_of, one
from small_games import assert_resumes_exactly, player, resolved
from torch import nn
from torch.nn.functional import mse_loss, softplus

from ganforge.core import DataSpec, GanforgeError, Run, train
from ganforge.core.card import CARD_KEY
from ganforge.core.config import load_data, parse_settings
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock, Export
from ganforge.core.loop import play_round
from ganforge.core.options import parse
from ganforge.core.pictures import from_pixels, to_pixels
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.papers.srgan import SrganOptions
from ganforge.plugins.papers.srgan.features import VGG54, vgg19
from ganforge.plugins.papers.srgan.game import bicubic, shrunk
from ganforge.serve import load

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
    made = game.networks["generator"](shrunk(real, 4)).images
    content = mse_loss(game.features(made), game.features(real))
    adversarial = softplus(-game.networks["discriminator"](made).logits).mean()
    expected = 0.7 * mse_loss(made, real) + 0.3 * content + 0.01 * adversarial
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_vggs_features_stand_alone_as_in_the_paper() -> None:
    weights = {"vgg": "vgg19.pth", "vgg_sha256": "0" * 64}
    assert [parse(SrganOptions, chosen).pixels for chosen in ({}, weights, {**weights, "pixels": 0.5})] == [1, 0, 0.5]


def test_without_features_none_are_made(registry: Registry) -> None:
    game, stream = built(registry, "recipe.content=0", "recipe.features=nowhere")
    assert torch.isfinite(objective(game, stream, "generator").loss)


def test_the_critic_tells_real_pictures_from_the_same_ones_enlarged(registry: Registry) -> None:
    game, stream = built(registry)
    found = objective(game, stream, "discriminator")
    real = found.step.real.detach()
    made, critic = game.networks["generator"](shrunk(real, 4)).images, game.networks["discriminator"]
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


def test_a_preview_shows_small_bicubic_enlarged_and_real_side_by_side(registry: Registry) -> None:
    game, _ = built(registry)
    real = game.inputs(1, 3)
    small, shown = game.given(real), np.split(game.preview(real), 4, axis=3)
    assert game.preview(real).shape == (3, 1, 16, 64)
    assert np.array_equal(shown[0], small.repeat(4, axis=2).repeat(4, axis=3))
    assert np.allclose(shown[1], bicubic(torch.from_numpy(small), 4), atol=1e-6)
    assert np.array_equal(shown[2], game.sample(real))
    assert np.array_equal(shown[3], real)


def test_what_is_shown_is_held_out_and_small_as_a_file_has_it(registry: Registry) -> None:
    game, _ = built(registry)
    real = game.inputs(1, 3)
    held_out = load_data(game.config.data, registry, "test")
    known = held_out.fetch(np.arange(len(held_out)))[0]
    assert all((one == known).all(axis=(1, 2, 3)).any() for one in np.rint((real + 1) * 127.5))
    small = game.given(real)
    assert np.abs(small - shrunk(torch.from_numpy(real), 4).numpy()).max() <= 0.5 / 127.5 + 1e-6
    assert np.array_equal(from_pixels(to_pixels(small)), small)
    assert np.array_equal(game.sample(real), game.translate(small))


def test_the_critic_is_told_the_class_of_what_was_enlarged(registry: Registry) -> None:
    game, stream = built(registry, "discriminator.conditioning=projection")
    step = objective(game, stream, "discriminator").step
    assert step.fake_labels is not None
    assert torch.equal(step.fake_labels, step.real_labels)


@pytest.fixture(scope="module")
def trained(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run of a few rounds at factor 2, and its file."""
    folder = tmp_path_factory.mktemp("srgan")
    few = ("steps=4", "every=4", "batch_size=4", "samples=2", "machine.threads=1", "recipe.factor=2")
    request = parse_settings(["recipe=srgan", "data=digits", *SMALL, RANDOM, *few])
    run = train(request, folder / "run", registry=registry)
    export(run, folder / "larger.onnx")
    return run, folder / "larger.onnx"


def test_the_file_says_its_scale_and_is_proved_at_several_sizes(trained: tuple[Run, Path]) -> None:
    card = load(trained[1]).card
    assert (card.version, card.scale, card.trained_sides, card.data.shape) == (1, 2, (8, 8), (1, 16, 16))
    (image,) = card.inputs
    assert (image.role, image.width, image.multiple, image.least) == ("image", 1, 1, 1)
    assert card.parity is not None
    assert card.parity.sides == ((2, 2), (2, 5), (8, 8))


def test_the_file_gives_what_the_run_gives(trained: tuple[Run, Path]) -> None:
    run, file = trained
    made = load(file).translate(to_pixels(run.game.given(run.game.inputs(1, 3))))
    assert np.abs(made.astype(int) - to_pixels(run.sample(3, seed=1))).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 8)])
def test_a_picture_of_any_size_is_enlarged(trained: tuple[Run, Path], size: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 1), dtype=np.uint8)
    assert load(trained[1]).translate(pictures).shape == (2, 2 * size[0], 2 * size[1], 1)


@pytest.mark.parametrize("form", [{"pixels": "uint8"}, {"precision": "fp16"}])
def test_other_forms_enlarge_alike(trained: tuple[Run, Path], tmp_path: Path, form: dict[str, Any]) -> None:
    run, file = trained
    export(run, tmp_path / "m.onnx", **form)
    pictures = to_pixels(run.game.given(run.game.inputs(1, 1)))
    one, two = (load(path).translate(pictures).astype(int) for path in (file, tmp_path / "m.onnx"))
    assert np.abs(one - two).max() <= 2


def test_the_command_enlarges_a_folder(trained: tuple[Run, Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (7, 5)).save(tmp_path / "in" / "one.png")
    done("translate", trained[1], tmp_path / "in", tmp_path / "out")
    assert Image.open(tmp_path / "out" / "one.png").size == (14, 10)


def test_the_command_shows_held_out_pictures(trained: tuple[Run, Path], tmp_path: Path) -> None:
    run, _ = trained
    done("sample", run.directory, "--n", "2", "--seed", "3", "-o", tmp_path / "out")
    shown = np.asarray(Image.open(tmp_path / "out" / "000001.png"))
    np.testing.assert_array_equal(shown, to_pixels(run.preview(2, 3))[1, :, :, 0])
    assert shown.shape == (16, 64)
    assert "translates pictures" in refused("evaluate", run.directory)


def test_a_server_enlarges_and_counts_the_pixels_it_gives(trained: tuple[Run, Path]) -> None:
    app = app_of(trained[1], max_pixels=2 * 16 * 16)
    small = np.zeros((2, 1, 8, 8), np.float32)
    tensor = {"name": "image", "datatype": "FP32", "shape": list(small.shape), "data": small.flatten().tolist()}
    reply = one(app, "/v2/models/larger/infer", {"inputs": [tensor]})
    assert reply.json()["outputs"][0]["shape"] == [2, 1, 16, 16]
    tensor |= {"shape": [1, 1, 16, 12], "data": [0.0] * (16 * 12)}
    refusal = one(app, "/v2/models/larger/infer", {"inputs": [tensor]})
    assert refusal.sentence == "1 samples of 32×24 are more than the 512 pixels an answer may have"


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        ('"scale":4', "gives [1, 1, 4, 4], and its card says [1, 1, 8, 8]"),
        ('"scale":1', "gives [1, 1, 4, 4], and its card says [1, 1, 2, 2]"),
        ('"scale":3', "output 'images' is 3 times as large as no picture of training can be"),
        ('"scale":65', "less than or equal to 64"),
    ],
)
def test_a_card_with_another_scale_is_found_out(
    trained: tuple[Run, Path], tmp_path: Path, lie: str, sentence: str
) -> None:
    model = onnx.load_model(trained[1])
    (prop,) = (prop for prop in model.metadata_props if prop.key == CARD_KEY)
    prop.value = prop.value.replace('"scale":2', lie)
    onnx.save_model(model, tmp_path / "lie.onnx")
    with pytest.raises(GanforgeError) as error:
        load(tmp_path / "lie.onnx")
    assert sentence in str(error.value)


def test_a_network_of_another_scale_is_not_exported(trained: tuple[Run, Path], tmp_path: Path) -> None:
    run, _ = trained
    game = copy.copy(run.game)
    object.__setattr__(game, "exports", lambda: {"generator": Export("generator", multiple=1, least=1, scale=4)})
    lying = copy.copy(run)
    lying.game = game
    with pytest.raises(GanforgeError, match=r"makes \[4, 4\] of pictures of \[2, 2\], and says that it makes \[8, 8\]"):
        export(lying, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("data", "settings", "sentence"),
    [
        ("ring", (), "super-resolution is of images, not points"),
        ("digits", ("data.resolution=10",), "a factor of 4 does not divide 10×10"),
        (
            "digits",
            ("recipe.factor=2", "architecture.factor=4"),
            "option 'architecture': recipe 'srgan' makes pictures of 2 times the side, and 'srresnet' of 4 times",
        ),
        (
            "digits",
            ("architecture=dcgan",),
            "option 'architecture': recipe 'srgan' translates pictures, and 'dcgan' makes them of latents",
        ),
        ("digits", ("architecture=cyclegan",), "architecture 'cyclegan' translates between two domains"),
        ("digits", ("conditioning=concat",), "option 'generator.conditioning': recipe 'srgan' translates pictures"),
        ("digits", ("fakes=shared",), "option 'fakes': recipe 'srgan' has each player translate anew"),
        ("digits", ("regularizers.virtual-batch-norm=true",), "regularizer 'virtual-batch-norm': its reference batch"),
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
    config = resolved(registry, "srgan", "digits", *SMALL, f"recipe.factor={factor}")
    game: Any = build_game(config, spec, registry)
    made = torch.from_numpy(game.translate(np.zeros((2, shape[0], shape[1] // factor, shape[2] // factor), np.float32)))
    assert made.shape == (2, *shape)
    assert game.networks["discriminator"](made).logits.shape == (2,)


@pytest.mark.parametrize(
    "settings", [("recipe.warmup=0.9",), ("recipe.warmup=0.2", "discriminator.conditioning=concat")]
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "srgan", "digits", *SMALL, RANDOM, *settings)
