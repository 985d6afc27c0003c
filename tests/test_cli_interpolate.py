"""`ganforge interpolate`: rows from picture to picture, the same from a run and its file, and between classes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from command import TINY, done, refused
from explored import LABELLED, cells, load, make
from PIL import Image
from torch.nn.functional import embedding, one_hot

from ganforge.cli.explore.classes import Between
from ganforge.cli.explore.video import save_video
from ganforge.cli.interpolate import walk
from ganforge.core import DataSpec, Latent
from ganforge.core.latents import Generator
from ganforge.core.pictures import to_pixels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("labelled"), **LABELLED)


def test_a_row_for_each_pair_whose_ends_are_samples(run: Path, tmp_path: Path) -> None:
    done("interpolate", run, "--seeds", "1,5:3,9", "--steps", 4, "-o", tmp_path / "path.png", *TINY)
    shown = cells(tmp_path / "path.png")
    assert shown.shape == (2, 4, 8, 8)
    ends = [to_pixels(load(run).sample(1, seed, start=at))[0, :, :, 0] for seed, at in ((1, 0), (5, 3), (9, 0))]
    np.testing.assert_array_equal(shown[:, [0, -1]], [ends[:2], ends[1:]])


def test_a_file_gives_what_its_run_gives(run: Path, tmp_path: Path) -> None:
    done("export", run, "-o", tmp_path / "m.onnx", *TINY)
    for name, source in (("run", run), ("file", tmp_path / "m.onnx")):
        done("interpolate", source, "--seeds", "1,2", "--truncation", 0.5, "-o", tmp_path / f"{name}.png", *TINY)
    assert np.abs(cells(tmp_path / "run.png") - cells(tmp_path / "file.png")).max() <= 1


def test_the_line_or_the_arc() -> None:
    given: list[np.ndarray] = []
    generator = Generator(Latent(dim=2), DataSpec(shape=(1, 1, 1)), False, lambda z, y: given.append(z) or z)  # type: ignore[func-returns-value]
    ends = np.array([[2, 0], [0, 2]], np.float32)
    walk(generator, (ends, None), 3)
    walk(generator, (ends, None), 3, straight=True)
    walk(generator._replace(latent=Latent(name="uniform", dim=2)), (ends, None), 3)
    np.testing.assert_allclose([one[1] for one in given], [[2**0.5] * 2, [1, 1], [1, 1]], rtol=1e-6)


def test_an_animation_shows_each_end_once(run: Path, tmp_path: Path) -> None:
    for suffix in (".gif", ".webp"):
        done("interpolate", run, "--seeds", "1,2,3", "--steps", 5, "-o", tmp_path / f"path{suffix}", *TINY)
        assert Image.open(tmp_path / f"path{suffix}").n_frames == 9  # type: ignore[attr-defined]


def video(path: Path) -> tuple[dict[str, object], np.ndarray]:
    """What an MP4 says of itself, and its frames, uint8 [n, h, w, 3], as ffmpeg decodes them."""
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    return about, np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def test_a_video_shows_each_end_once(run: Path, tmp_path: Path) -> None:
    for name in ("path.mp4", "path.gif"):
        done("interpolate", run, "--seeds", "1,2,3", "--steps", 5, "-o", tmp_path / name, *TINY)
    about, frames = video(tmp_path / "path.mp4")
    assert (about["codec"], str(about["pix_fmt"]).partition("(")[0], len(frames)) == ("h264", "yuv420p", 9)
    with Image.open(tmp_path / "path.gif") as gif:
        for number, frame in enumerate(frames):
            gif.seek(number)
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert shown.shape == frame.shape
            assert np.abs(shown - frame).mean() < 4


def test_colour_and_odd_sides(tmp_path: Path) -> None:
    """A line more where a side is odd; nothing is scaled."""
    frames = np.zeros((4, 65, 71, 3), np.uint8)
    frames[:, :, :, 0] = 200
    save_video(list(frames), tmp_path / "odd.mp4")
    about, shown = video(tmp_path / "odd.mp4")
    assert about["size"] == (72, 66)
    assert shown.shape == (4, 66, 72, 3)
    assert np.abs(shown[:, :64, :70].astype(int) - (200, 0, 0)).max() < 12


def test_without_the_package_it_is_named(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.delitem(sys.modules, "ganforge.cli.explore.video", raising=False)
    asked = ("--seeds", "1,2", "-o", tmp_path / "a.mp4", *TINY)
    assert refused("interpolate", run, *asked).endswith("which is not installed: pip install 'ganforge[video]'")
    assert not (tmp_path / "a.mp4").exists()


def test_between_two_classes_both_are_mixed(labelled: Path, tmp_path: Path) -> None:
    network = load(labelled).game.ema["generator"]
    table = network.code.embedding.weight  # type: ignore[union-attr]
    latents, _ = load(labelled).game.averaged_generator.draw(4, 1)
    way = walk(load(labelled).game.averaged_generator, (latents.repeat(2, axis=0), np.array([0, 2])), 3)
    codes = torch.stack([table[0], (table[0] + table[2]) / 2, table[2]])  # type: ignore[index]
    z = torch.from_numpy(latents).expand(3, -1)
    expected = network.inner(torch.cat([z, codes], dim=1)).images  # type: ignore[union-attr,operator]
    np.testing.assert_allclose(way, expected.numpy(), atol=1e-6)


def test_one_hot_codes_and_embeddings_are_mixed_and_only_while_it_is_on() -> None:
    table, labels = torch.randn(3, 4), torch.tensor([0, 1])
    with Between(2, 0.25):
        hot, found = one_hot(labels, 3), embedding(labels, table)
    torch.testing.assert_close(hot, torch.tensor([[0.75, 0, 0.25], [0, 0.75, 0.25]]))
    torch.testing.assert_close(found, 0.75 * table[:2] + 0.25 * table[2])
    assert one_hot(labels, 3).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_mistakes_are_one_sentence(run: Path, labelled: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.png", *TINY)
    assert "at least two pictures" in refused("interpolate", run, "--seeds", "1", *out)
    assert "takes SEED, SEED:NUMBER or a latent's .json" in refused("interpolate", run, "--seeds", "1,two", *out)
    assert "leave --label out" in refused("interpolate", run, "--seeds", "1,2", "--label", 1, *out)
    unknown = refused("interpolate", labelled, "--seeds", "1,2", "--label", "clas 1", *out)
    assert "did you mean 'class" in unknown
    assert "is not a run directory" in refused("interpolate", tmp_path, "--seeds", "1,2", *out)
    assert "takes a name that ends in .png" in refused("interpolate", run, "--seeds", "1,2", "-o", "a.jpg", *TINY)
    (tmp_path / "file").touch()
    assert "may write" in refused("interpolate", run, "--seeds", "1,2", "-o", tmp_path / "file" / "a.png", *TINY)
    done("export", labelled, "-o", tmp_path / "m.onnx", *TINY)
    assert "choose one with --label" in refused("interpolate", tmp_path / "m.onnx", "--seeds", "1,2:1", *out)
    done("export", run, "-o", tmp_path / "seeded.onnx", "--inputs", "seed", *TINY)
    assert "makes its own latents" in refused("interpolate", tmp_path / "seeded.onnx", "--seeds", "1,2", *out)
    assert not (tmp_path / "out.png").exists()


def test_a_latent_comes_from_a_file(labelled: Path, tmp_path: Path) -> None:
    latents, _ = load(labelled).game.averaged_generator.draw(1, 1)
    kept = tmp_path / "z.json"
    kept.write_text(json.dumps({"z": latents[0].tolist(), "label": "class 1"}))
    for name, first in (("file", kept), ("seed", "1")):
        out = tmp_path / f"{name}.png"
        done("interpolate", labelled, "--seeds", f"{first},2", "--label", "class 1", "-o", out, *TINY)
    np.testing.assert_array_equal(cells(tmp_path / "file.png"), cells(tmp_path / "seed.png"))
    kept.write_text('{"z": [1.0]}')
    out = ("-o", tmp_path / "out.png", *TINY)
    assert "is another generator's" in refused("interpolate", labelled, "--seeds", f"{kept},2", *out)
    kept.write_text("[]")
    assert "holds no latent" in refused("interpolate", labelled, "--seeds", f"{kept},2", *out)
