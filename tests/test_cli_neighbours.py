"""`ganforge neighbours`: a generator that copies its training pictures, and one that does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from command import TINY, done, refused
from explored import cells, load, make

from ganforge.cli.explore.nearest import Nearness, in_features, in_pixels
from ganforge.core import DataRequest
from ganforge.core.data import ArrayData
from ganforge.core.evaluation import Asked
from ganforge.core.pictures import to_pixels
from ganforge.core.registry import Registry
from ganforge.core.seer import Seer

SMOKE = ("--features", "random-smoke-test", "--samples", 12, *TINY)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))


def quiet(what: str, done: int, of: int) -> None:
    pass


def splits() -> tuple[ArrayData, ArrayData]:
    options = tiny.PictureOptions(n=200)
    return tiny.load(options, DataRequest()), tiny.load(options, DataRequest(split="test"))


def measured(samples: np.ndarray, registry: Registry) -> list[Nearness]:
    training, test = splits()
    rows = np.arange(100)
    seer = Seer(training, Asked(metrics={}, extractor="random-smoke-test"), registry)
    return [
        in_pixels(samples, test.fetch(rows)[0], training, 3, quiet),
        in_features(samples, rows, test, training, 3, seer, 32, quiet),
    ]


def test_a_generator_that_copies_is_close_and_identical(registry: Registry) -> None:
    for one in measured(splits()[0].samples[10:40], registry):
        assert one.samples.numbers[:, 0].tolist() == list(range(10, 40))
        figures = one.figures()
        assert (figures["close"], figures["identical"], figures["samples"]) == (1, 1, 0)


def test_new_pictures_are_as_far_as_held_out_ones(registry: Registry) -> None:
    for one in measured(splits()[1].samples[100:], registry):
        figures = one.figures()
        assert figures["close"] <= 0.2
        assert figures["identical"] == 0
        assert figures["samples"] == pytest.approx(figures["held_out"], rel=0.1)


def test_distances_in_pixels_are_root_mean_squares(registry: Registry) -> None:
    training, _ = splits()
    moved = training.samples[:5].astype(int)
    moved += np.where(moved > 127, -10, 10)
    near = measured(moved.astype(np.uint8), registry)[0]
    torch.testing.assert_close(near.nearest, torch.full((5,), 10.0, dtype=torch.float64))


def test_each_row_is_a_sample_and_its_neighbours(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "near.png"
    told = json.loads(done("neighbours", run, *SMOKE, "-k", 2, "--show", 3, "--json", "-o", out).out)
    assert [one["space"] for one in told["figures"]] == ["pixels", "random-smoke-test"]
    shown = cells(out)  # the second block begins with its own gap, less than a picture
    made, training = to_pixels(load(run).sample(12, 0))[:, :, :, 0], tiny.load(tiny.PictureOptions(), DataRequest())
    for row, one in zip(shown, told["shown"], strict=True):
        np.testing.assert_array_equal(row[0], made[one["sample"]])
        np.testing.assert_array_equal(row[1:3], training.samples[one["pixels"], 0])


def test_a_file_gives_the_same_figures(run: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "near.png")
    done("export", run, "-o", tmp_path / "m.onnx", "--inputs", "seed", *TINY)
    told = [
        json.loads(done("neighbours", source, *SMOKE, "--json", *out).out)["figures"]
        for source in (run, tmp_path / "m.onnx")
    ]
    for mine, its in zip(*told, strict=True):
        assert its["samples"] == pytest.approx(mine["samples"], rel=0.01)


def test_real_features_are_kept(run: Path, tmp_path: Path) -> None:
    first = done("neighbours", run, *SMOKE, "-o", tmp_path / "near.png")
    assert "features of training pictures" in first.err
    kept = sorted((tmp_path / "cache" / "features").iterdir())
    assert len(kept) == 2
    done("neighbours", run, *SMOKE, "-o", tmp_path / "near.png")
    assert sorted((tmp_path / "cache" / "features").iterdir()) == kept
    pixels = done("neighbours", run, *TINY, "--features", "none", "-o", tmp_path / "near.png").out
    assert pixels.splitlines()[0].split() == ["nearest", "in", "samples", "held-out", "close", "identical"]


def test_mistakes_are_one_sentence(run: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.png", *TINY)
    assert "unknown dataset 'digts'; did you mean 'digits'" in refused("neighbours", run, "--data", "digts", *out)
    assert "unknown extractor 'random'" in refused("neighbours", run, "--features", "random", *out)
    assert "the samples are 8×8 grey images" in refused("neighbours", run, "--data", "ring", *out)
    assert "is not a run directory" in refused("neighbours", tmp_path / "no", *out)
    assert "takes a name that ends in .png" in refused("neighbours", run, "-o", tmp_path / "near.pdf", *TINY)
    assert not (tmp_path / "out.png").exists()
