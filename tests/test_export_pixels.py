"""`--pixels uint8`: the graph rounds as `to_pixels` does, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from export_toys import assert_same_pictures, dcgan_run, toy_run

from ganforge.core import GanforgeError, Run
from ganforge.core.card import Card, Output
from ganforge.core.pictures import from_pixels, to_pixels
from ganforge.export import export
from ganforge.export.graph import Pixels
from ganforge.export.proof import _differences
from ganforge.serve import load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return dcgan_run(tmp_path_factory.mktemp("pixels") / "run")


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("inputs", ["z", "seed"])
def test_pixels_are_the_floats_rounded_to_the_bit(run: Run, tmp_path: Path, inputs: str) -> None:
    floats = export(run, tmp_path / "floats.onnx", inputs=inputs)
    card = export(run, tmp_path / "pixels.onnx", inputs=inputs, pixels="uint8")
    assert card.outputs == (Output(name="images", dtype="uint8", layout="NHWC", low=0, high=255),)
    for n in (1, 2, 7, 16):
        feed = card.feed_seeds(np.arange(n))
        expected = to_pixels(session(tmp_path / "floats.onnx").run(None, floats.feed_seeds(np.arange(n)))[0])
        given = session(tmp_path / "pixels.onnx").run(None, feed)[0]
        assert given.shape == (n, 16, 16, 3)
        np.testing.assert_array_equal(given, expected)
    model = load(tmp_path / "pixels.onnx", device="cpu")
    assert_same_pictures(model.sample(9, seed=3), to_pixels(run.sample(9, 3)))


def test_halves_and_what_lies_outside() -> None:
    values = np.linspace(-1.2, 1.2, 24 * 101, dtype=np.float32).reshape(-1, 1, 4, 2)
    halves = ((np.arange(255) + 0.5) / 127.5 - 1).astype(np.float32).reshape(-1, 1, 1, 1)
    for images in (values, halves):
        np.testing.assert_array_equal(Pixels()(torch.from_numpy(images)).numpy(), to_pixels(images))


def test_pixels_become_floats_that_become_the_same_pixels() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    assert from_pixels(pixels).shape == (4, 1, 8, 8)
    np.testing.assert_array_equal(to_pixels(from_pixels(pixels)), pixels)


def test_floats_of_a_file_of_pixels(run: Run, tmp_path: Path) -> None:
    card: Card = export(run, tmp_path / "m.onnx", pixels="uint8")
    given = load(tmp_path / "m.onnx", device="cpu").generate(card.latent.sample(3, 5))
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, run.sample(5, 3), atol=1 / 255 + 1e-4)


def test_the_proof_sees_a_level_that_is_one_off() -> None:
    exact = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    pixels = to_pixels(exact)
    assert _differences(pixels, exact).max() < 1e-6
    assert _differences(pixels + 2 * (pixels < 9), exact).max() > 1e-2


def test_points_have_no_pixels(tmp_path: Path) -> None:
    points = toy_run(tmp_path / "run", data="toy-points", architecture="toy")
    with pytest.raises(GanforgeError, match=r"^there are no pixels in points with 2 coordinates; leave them float32$"):
        export(points, tmp_path / "m.onnx", pixels="uint8")
    assert not (tmp_path / "m.onnx").exists()
