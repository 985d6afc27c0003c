"""The perceptual path length against closed forms: generators that are linear, and features that are the pixels."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import TINY, TRAIN_TINY, done, refused
from torch import Tensor

from ganforge.core import ArrayData, DataSpec, GanforgeError, Latent
from ganforge.core.evaluation import Case, Extractor, Features
from ganforge.core.latents import Generator
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.metrics.perceptual_path_length.path import between, cropped_mean, spherical

SCALE = 0.1  # keeps images of a linear generator within [-1, 1]


class Pixels(Extractor):
    """Features are the image, so that distances are those between a linear generator's latents."""

    def embed(self, pixels: Tensor) -> Features:
        return Features((pixels / 127.5 - 1).flatten(1) / SCALE)


def path_length(
    registry: Registry, latent: Latent, samples: int = 4000, make: Any = None, watch: Any = print, **options: Any
) -> float:
    """Of a generator whose image is its z, or what `make` gives."""
    data = DataSpec(shape=(1, 1, latent.dim))
    generator = Generator(latent, data, False, make or (lambda z, _: SCALE * z[:, None, None, : latent.dim]))
    reals = ArrayData(data, np.zeros((1, *data.shape), np.uint8))
    spec = registry.find("metric", "perceptual-path-length")
    scorer = spec.build(spec.options(**options), Case(reals, samples, 0, Pixels(), generator=generator, watch=watch))
    return float(scorer.compute()["ppl"])


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
def test_on_a_circle_it_is_the_mean_squared_angle(registry: Registry, epsilon: float) -> None:
    """The angle of two directions is uniform on [0, π], its square π² / 3 on average; a circle's radius is √2."""
    found = path_length(registry, Latent(name="sphere", dim=2), epsilon=epsilon)
    assert found == pytest.approx(2 * math.pi**2 / 3, rel=0.05)


@pytest.mark.parametrize("dim", [1, 8])
def test_of_uniform_latents_it_is_the_mean_squared_distance(registry: Registry, dim: int) -> None:
    """Two numbers that are uniform on [-1, 1] differ by 2 / 3, squared, on average."""
    assert path_length(registry, Latent(name="uniform", dim=dim)) == pytest.approx(2 * dim / 3, rel=0.05)


def test_it_tells_how_far_it_is(registry: Registry) -> None:
    told: list[tuple[str, int, int]] = []
    path_length(registry, Latent(dim=2), 120, watch=lambda *what: told.append(what))
    assert [done for _, done, of in told if of == 120] == [50, 100, 120]


def test_it_grows_with_the_square_of_the_generator(registry: Registry) -> None:
    latent = Latent(dim=4)
    whole, half = (
        path_length(registry, latent, 100, lambda z, _, k=k: k * SCALE * z[:, None, None] / 2) for k in (1, 0.5)
    )
    assert whole == pytest.approx(4 * half, rel=1e-2)


def test_float32_is_enough_for_the_step(registry: Registry) -> None:
    """At ε = 1e-4 a linear generator scores what it does at a hundred times the step; whole pixels would score none."""
    latent = Latent(name="uniform", dim=8)
    fine, coarse = (path_length(registry, latent, 200, epsilon=epsilon) for epsilon in (1e-4, 1e-2))
    assert fine == pytest.approx(coarse, rel=1e-3)


def test_categories_stay_and_uniform_codes_move_in_a_line() -> None:
    latent = Latent(dim=2, categorical=(3, 2), continuous=1)
    first, second = latent.sample(1, 5), latent.sample(2, 5)
    half = between(latent, first, second, np.full(5, 0.5))
    np.testing.assert_array_equal(half[:, 2:7], first[:, 2:7])
    np.testing.assert_allclose(half[:, 7], (first[:, 7].astype(np.float64) + second[:, 7]) / 2)
    np.testing.assert_allclose(half[:, :2], spherical(first[:, :2], second[:, :2], np.full((5, 1), 0.5)), rtol=1e-6)


def test_the_sphere_is_torchmetrics() -> None:
    peer = import_with_torchvision("torchmetrics.functional.image.perceptual_path_length")._interpolate
    first, second = (torch.from_numpy(Latent(dim=6).sample(seed, 20)).double() for seed in (1, 2))
    for t in (0.0, 0.3, 1.0):
        ours = spherical(first.numpy(), second.numpy(), np.full((20, 1), t))
        np.testing.assert_allclose(ours, peer(first, second, t, "slerp_any").numpy(), rtol=1e-9)


def test_on_the_sphere_no_step_leaves_it_and_all_are_equal() -> None:
    latent = Latent(name="sphere", dim=5)
    first, second = latent.sample(1, 7).astype(np.float64), latent.sample(2, 7).astype(np.float64)
    way = np.stack([spherical(first, second, np.full((7, 1), t)) for t in np.linspace(0, 1, 11)])
    np.testing.assert_allclose(np.linalg.norm(way, axis=2), math.sqrt(5), rtol=1e-6)
    steps = np.linalg.norm(np.diff(way, axis=0), axis=2)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), rtol=1e-5)


def test_of_opposite_and_of_equal_vectors_the_way_is_straight() -> None:
    one = np.array([[1.0, 2.0]])
    for other in (one, -one, 0 * one):
        np.testing.assert_allclose(spherical(one, other, np.array([[0.25]])), 0.75 * one + 0.25 * other)


def test_the_extreme_hundredths_are_left_out() -> None:
    lengths = np.arange(1001.0)
    lengths[-1] = 1e9
    # The first percentile is 10, the last 990; both stay.
    assert cropped_mean(lengths[::-1]) == np.arange(10, 991).mean()
    assert cropped_mean(np.array([1.0, 5.0])) == 3


def test_both_ends_have_one_label_and_every_class_comes(registry: Registry) -> None:
    seen: list[np.ndarray] = []

    def make(latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        assert labels is not None
        seen.append(labels)
        return np.zeros((len(latents), 1, 1, 2), np.float32)

    data = DataSpec(shape=(1, 1, 2), classes=("a", "b", "c", "d"))
    reals = ArrayData(data, np.zeros((1, 1, 1, 2), np.uint8))
    spec = registry.find("metric", "perceptual-path-length")
    case = Case(reals, 6, 0, Pixels(), generator=Generator(Latent(dim=2), data, True, make))
    assert spec.build(spec.options(), case).compute() == {"ppl": 0.0}
    assert seen[0].tolist() == [0, 1, 2, 3, 0, 1] * 2


def test_features_of_whole_pixels_are_refused(registry: Registry) -> None:
    data = ArrayData(DataSpec(shape=(1, 2, 2)), np.zeros((1, 1, 2, 2), np.uint8))
    spec = registry.find("metric", "perceptual-path-length")
    with pytest.raises(GanforgeError, match="these features are of whole pixels only; choose other --features"):
        spec.build(spec.options(), Case(data, 5, 0, Extractor()))


@pytest.mark.parametrize("form", [("--pixels", "uint8"), ("--precision", "fp16", "--force")])
def test_a_file_that_rounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    run, file = tmp_path / "run", tmp_path / "tiny.onnx"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    done("export", run, "-o", file, *form, *TINY)
    asked = ("--samples", 24, "--features", "random-smoke-test", "--metrics", "perceptual-path-length", *TINY)
    sentence = "this file rounds its own; export it with --inputs z --pixels float32 --precision fp32"
    assert refused("evaluate", file, *asked).endswith(sentence)


def test_a_run_and_its_file_have_one_path_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    run, file = tmp_path / "run", tmp_path / "tiny.onnx"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    done("export", run, "-o", file, *TINY)
    common = ("--samples", 24, "--features", "random-smoke-test", "--json", *TINY)
    asked = ("--metrics", "perceptual-path-length")
    of_run, of_file = (json.loads(done("evaluate", source, *common, *asked).out) for source in (run, file))
    assert [score["name"] for score in of_run] == ["ppl_random-smoke-test@24"]
    assert of_run[0]["value"] == pytest.approx(of_file[0]["value"], rel=1e-2)
    assert of_run[0]["value"] > 0
    assert "floor" not in of_run[0]["provenance"]
    # Nearer latents are nearer pictures.
    near = json.loads(done("evaluate", file, *common, *asked, "--truncation", 0.1).out)
    assert near[0]["value"] < of_file[0]["value"] / 10
    assert refused("evaluate", run, *common, *asked, "--set", "perceptual-path-length.epsilon=0").startswith("option")
