"""Pictures through exported files: the proof, any size, the command, and what is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command import done, ganforge, refused
from PIL import Image
from served import Reply, app_of, ask, one

from ganforge.core import GanforgeError, Run, train
from ganforge.core.card import CARD_KEY
from ganforge.core.config import parse_settings
from ganforge.core.pictures import to_pixels
from ganforge.core.registry import Registry
from ganforge.export import export
from ganforge.serve import Model, load

SMALL = ("data.resolution=16", "batch_size=2", "steps=2", "every=2", "samples=2", "observers=[]", "ema.decay=0")
TINY = ("architecture.width=2", "machine.threads=1")


def trained(registry: Registry, folder: Path, recipe: str, *settings: str) -> Run:
    request = parse_settings([f"recipe={recipe}", "data=negatives", *SMALL, *TINY, *settings])
    return train(request, folder, registry=registry)


@pytest.fixture(scope="module")
def cycle(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("cycle") / "run"
    return trained(registry, folder, "cyclegan", "data.paired=false", "architecture.blocks=1", "recipe.history=2")


@pytest.fixture(scope="module")
def file(cycle: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "there.onnx"
    export(cycle, path, network="plain-to-negative")
    return path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# The file.


def test_it_is_proved_at_several_sizes(file: Path) -> None:
    card = load(file).card
    assert card.parity is not None
    assert card.parity.sides == ((8, 8), (8, 20), (16, 16))
    assert card.parity.max_difference < card.parity.tolerance
    (image,) = card.inputs
    assert (image.role, image.width, image.multiple, image.least) == ("image", 1, 4, 8)
    assert (card.network, card.data.domains, card.directions) == ("plain-to-negative", ("plain", "negative"), ())


def test_it_gives_what_the_run_gives(cycle: Run, file: Path) -> None:
    pictures = cycle.data.domain(cycle.game.inputs(1, 3), 0)
    translated = load(file).translate(to_pixels(pictures))
    assert np.abs(translated.astype(int) - to_pixels(cycle.sample(3, seed=1))).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (13, 31), (40, 24)])
def test_a_picture_of_any_size_keeps_it(file: Path, size: tuple[int, int]) -> None:
    assert load(file).translate(noise(2, *size, 1)).shape == (2, *size, 1)


def test_a_size_that_fits_is_not_touched(file: Path) -> None:
    model, pictures = load(file), noise(1, 20, 12, 1)
    direct = model.run(model.card.feed_images(pictures.transpose(0, 3, 1, 2) / 127.5 - 1))
    np.testing.assert_array_equal(model.translate(pictures), to_pixels(direct))


@pytest.mark.parametrize("form", [{"pixels": "uint8"}, {"precision": "fp16"}])
def test_other_forms(cycle: Run, file: Path, tmp_path: Path, form: dict[str, str]) -> None:
    export(cycle, tmp_path / "m.onnx", network="plain-to-negative", **form)  # type: ignore[arg-type]
    one, two = (load(path).translate(noise(1, 16, 16, 1)).astype(int) for path in (file, tmp_path / "m.onnx"))
    assert np.abs(one - two).max() <= 2


def test_what_a_file_cannot_do_is_said(cycle: Run, file: Path, tmp_path: Path) -> None:
    model = load(file)
    for call in (lambda: model.sample(1), lambda: model.generate(np.zeros((1, 100), np.float32))):
        with pytest.raises(GanforgeError, match="translates pictures, and makes none of latents: ganforge translate"):
            call()
    for pictures in (noise(1, 8, 8, 3), noise(8, 8, 1), noise(1, 8, 8, 1).astype(float)):
        with pytest.raises(GanforgeError, match=r"pictures must be uint8 \[N, H, W, 1\]"):
            model.translate(pictures)
    for form in ({"inputs": "seed"}, {"precision": "int8"}):
        with pytest.raises(GanforgeError, match="a network that translates pictures"):
            export(cycle, tmp_path / "m.onnx", network="plain-to-negative", **form)  # type: ignore[arg-type]
    assert not (tmp_path / "m.onnx").exists()


def test_a_card_that_lies_about_the_sides_is_found_out(file: Path, tmp_path: Path) -> None:
    model = onnx.load_model(file)
    (prop,) = (prop for prop in model.metadata_props if prop.key == CARD_KEY)
    prop.value = prop.value.replace('"role":"image"', '"role":"z"')
    onnx.save_model(model, tmp_path / "lie.onnx")
    with pytest.raises(GanforgeError):
        load(tmp_path / "lie.onnx")


def test_a_u_net_takes_the_sizes_it_says(registry: Registry, tmp_path: Path) -> None:
    run = trained(registry, tmp_path / "run", "pix2pix")
    card = export(run, tmp_path / "m.onnx")
    assert (card.inputs[0].multiple, card.inputs[0].least) == (16, 16)
    assert load(tmp_path / "m.onnx").translate(noise(1, 17, 50, 1)).shape == (1, 17, 50, 1)
    fresh = np.abs(load(tmp_path / "m.onnx").translate(noise(1, 16, 16, 1)).astype(int))
    np.testing.assert_array_equal(fresh, load(tmp_path / "m.onnx").translate(noise(1, 16, 16, 1)))


# The commands.


def test_each_direction_has_a_file(cycle: Run, tmp_path: Path) -> None:
    said = done("export", cycle.directory, "-o", tmp_path / "m.onnx").out
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["m-negative-to-plain.onnx", "m-plain-to-negative.onnx"]
    assert "sizes of 8×8, 8×20, 16×16" in said
    assert f"ganforge translate {tmp_path / files[0]} PICTURES OUT" in said
    done("export", cycle.directory, "-o", tmp_path / "one.onnx", "--network", "plain-to-negative")
    assert "unknown network 'up'" in refused("export", cycle.directory, "-o", tmp_path / "x.onnx", "--network", "up")


def test_a_run_s_sample_shows_there_and_back(cycle: Run, tmp_path: Path) -> None:
    done("sample", cycle.directory, "--n", "2", "-o", tmp_path / "out")
    shown = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out").iterdir())]
    assert [one.shape for one in shown] == [(32, 48), (32, 48)]
    pictures = to_pixels(cycle.game.inputs(0, 2))
    np.testing.assert_array_equal(shown[1][:16, :16], pictures[1, :, :, 0])
    np.testing.assert_array_equal(shown[1][16:, :16], pictures[1, :, :, 1])


def test_a_folder_becomes_a_folder(file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    Image.fromarray(noise(9, 14, 3)).save(source / "colour.jpg")
    Image.fromarray(noise(20, 6, 4), "RGBA").save(source / "deep" / "clear.png")
    (source / "broken.png").write_bytes(b"no picture")
    outcome = done("translate", file, source, tmp_path / "out")
    assert outcome.out == f"2 grey pictures in {tmp_path / 'out'}\n"
    assert f"cannot read picture {source / 'broken.png'}: not a picture; it is left out" in outcome.err
    written = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.*")}
    assert {name: (Image.open(path).size, Image.open(path).mode) for name, path in written.items()} == {
        "colour.png": ((14, 9), "L"),
        "deep/clear.png": ((6, 20), "L"),
    }


def test_one_picture_and_a_longest_side(file: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(40, 20)).save(tmp_path / "in.png")
    done("translate", file, tmp_path / "in.png", tmp_path / "out.png")
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "out.png")), load(file).translate(noise(40, 20)[None, :, :, None])[0, :, :, 0]
    )
    done("translate", file, tmp_path / "in.png", tmp_path / "small.png", "--longest", "10")
    assert Image.open(tmp_path / "small.png").size == (5, 10)


def test_a_picture_that_cannot_be_run_keeps_no_other(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name, side in (("good.png", 8), ("vast.png", 12)):
        Image.fromarray(noise(side, side)).save(tmp_path / "in" / name)
    run = Model.run

    def limited(model: Model, feed: dict[str, np.ndarray]) -> np.ndarray:
        if feed["image"].shape[2] > 8:
            raise GanforgeError("the file cannot be run on a batch of 1")
        return run(model, feed)

    monkeypatch.setattr(Model, "run", limited)
    outcome = done("translate", file, tmp_path / "in", tmp_path / "out")
    assert "cannot be run on a batch of 1; it is left out" in outcome.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_one_picture_into_a_folder_whose_name_has_a_dot(file: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(8, 8)).save(tmp_path / "in.png")
    (tmp_path / "out.d").mkdir()
    done("translate", file, tmp_path / "in.png", tmp_path / "out.d")
    assert (tmp_path / "out.d" / "in.png").exists()


def test_bad_input_is_one_sentence(file: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "there is no image in" in refused("translate", file, tmp_path / "in", tmp_path / "out")
    for name in ("one.png", "one.bmp"):
        Image.fromarray(noise(8, 8)).save(tmp_path / "in" / name)
    assert "would both become" in refused("translate", file, tmp_path / "in", tmp_path / "out")
    assert "give a folder" in refused("translate", file, tmp_path / "in", tmp_path / "out.png")
    assert "is not empty" in refused("translate", file, tmp_path / "in", tmp_path / "in")
    none = tmp_path / "none.png"
    assert refused("translate", file, none, tmp_path / "out.png") == (
        f"cannot read picture {none}: No such file or directory"
    )
    assert "is a folder; give a file" in refused("translate", tmp_path / "in", none, tmp_path / "out.png")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.png").write_bytes(b"no picture")
    broken = ganforge("translate", file, tmp_path / "bad", tmp_path / "out")
    assert broken.code == 2
    assert "none of the 1 files could be translated" in broken.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.png").exists()


def test_it_needs_no_torch(file: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(8, 8)).save(tmp_path / "in.png")
    without = "import sys; sys.modules['torch'] = sys.modules['onnx'] = None; from ganforge.cli.main import main; "
    command = [sys.executable, "-c", f"{without}sys.exit(main(sys.argv[1:]))"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GANFORGE_DISABLE_PLUGINS": "all"}
    arguments = ["translate", str(file), str(tmp_path / "in.png"), str(tmp_path / "out.png")]
    subprocess.run([*command, *arguments], env=environment, check=True, capture_output=True)
    assert Image.open(tmp_path / "out.png").size == (8, 8)


# The server.

INFER = "/v2/models/there/infer"


def asking(images: np.ndarray) -> dict[str, Any]:
    """An inference request for pictures float32 [N, C, H, W], in JSON."""
    data = images.astype(np.float32)
    return {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": list(data.shape), "data": data.flatten().tolist()}]
    }


def answered(reply: Reply) -> np.ndarray:
    assert reply.status == 200, reply.body
    (output,) = reply.json()["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def test_a_server_translates_pictures_of_several_sizes_at_once(file: Path) -> None:
    app, model = app_of(file), load(file, device="cpu")
    pictures = [noise(1, 1, *size) / 127.5 - 1 for size in ((8, 8), (12, 20), (8, 8))]

    async def all_at_once() -> list[Reply]:
        return await asyncio.gather(*(ask(app, INFER, asking(one)) for one in pictures))

    for given, reply in zip(pictures, asyncio.run(all_at_once()), strict=True):
        np.testing.assert_allclose(answered(reply), model.run(model.card.feed_images(given)), atol=1e-5)
    described = one(app, "/v2/models/there").json()
    assert [described[end][0]["shape"] for end in ("inputs", "outputs")] == [[-1, 1, -1, -1]] * 2


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 1, 10, 8), "must have the shape [N, 1, H, W] with H and W multiples of 4 from 8, not [1, 1, 10, 8]"),
        ((1, 1, 4, 8), "multiples of 4 from 8"),
        ((1, 3, 8, 8), "must have the shape [N, 1, H, W]"),
        ((8, 8), "must have the shape [N, 1, H, W]"),
        ((2, 1, 48, 48), "2 samples of 48×48 are more than the 4000 pixels an answer may have"),
    ],
)
def test_a_server_says_which_pictures_it_takes(file: Path, shape: tuple[int, ...], sentence: str) -> None:
    reply = one(app_of(file, max_pixels=4000), INFER, asking(np.zeros(shape)))
    assert reply.status == 400
    assert sentence in reply.sentence


def test_a_server_draws_nothing_of_seeds_there(file: Path) -> None:
    app = app_of(file)
    assert one(app, "/models").json() == []
    assert one(app, "/images?seed=1").sentence == "no model is loaded that draws of seeds"
    assert "translates pictures and draws none of seeds" in one(app, "/images?model=there").sentence


def test_what_needs_latents_is_refused(cycle: Run, file: Path) -> None:
    assert "translates pictures" in refused("sample", file)
    assert "translates pictures" in refused("evaluate", cycle.directory)
    assert "has no latents to truncate" in refused("sample", cycle.directory, "--truncation", "0.5")
