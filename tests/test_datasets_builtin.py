"""Data sets that need nothing from outside: digits, ring, grid; and what the data sets share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ganforge.core import ArrayData, GanforgeError
from ganforge.core.config import resolve
from ganforge.core.data import DataRequest
from ganforge.core.registry import Registry
from ganforge.plugins.datasets import common


def load(
    registry: Registry, name: str, split: str = "train", resolution: int | None = None, **options: object
) -> ArrayData:
    spec = registry.find("dataset", name)
    data: ArrayData = spec.load(spec.options(**options), DataRequest(split, resolution))  # type: ignore[arg-type]
    return data


def test_digits_are_scikit_learns(registry: Registry) -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    expected = np.rint(theirs.images * 255 / 16).astype(np.uint8)
    train, test = load(registry, "digits", resolution=8), load(registry, "digits", "test", 8)
    held = np.isin(
        np.arange(1797),
        common.split_indices([i.astype(np.uint8).tobytes() for i in theirs.images], "test", ""),
    )
    for data, mask in ((train, ~held), (test, held)):
        np.testing.assert_array_equal(data.samples[:, 0], expected[mask])
        assert data.labels is not None
        np.testing.assert_array_equal(data.labels, theirs.target[mask])
        assert data.labels.dtype == np.int64
    assert train.samples.min() == 0
    assert train.samples.max() == 255


def test_digits_splits(registry: Registry) -> None:
    train, test = load(registry, "digits"), load(registry, "digits", "test")
    assert len(train) + len(test) == 1797
    assert 150 < len(test) < 210  # 180 expected
    assert not {i.tobytes() for i in train.samples} & {i.tobytes() for i in test.samples}
    assert set(test.labels) == set(range(10))  # type: ignore[arg-type]


@pytest.mark.parametrize(("asked", "side"), [(None, 16), (8, 8), (16, 16), (28, 28), (32, 32), (4, 4)])
def test_digits_resolution(registry: Registry, asked: int | None, side: int) -> None:
    data = load(registry, "digits", "test", asked)
    assert data.spec.shape == data.samples.shape[1:] == (1, side, side)
    assert data.samples.dtype == np.uint8
    assert data.spec.classes == tuple("0123456789")


def test_fetch_and_fingerprint(registry: Registry) -> None:
    data, again = load(registry, "digits", "test"), load(registry, "digits", "test")
    assert data.fingerprint == again.fingerprint != load(registry, "digits").fingerprint
    samples, labels = data.fetch(np.array([5, 2, 5]))
    np.testing.assert_array_equal(samples, data.samples[[5, 2, 5]])
    np.testing.assert_array_equal(labels, data.labels[[5, 2, 5]])  # type: ignore[index]


def test_an_impossible_resolution_is_a_sentence(registry: Registry) -> None:
    with pytest.raises(
        GanforgeError, match=r"^data set 'digits' at 4096×4096 needs 25 GiB of memory; ask for a lower --res"
    ):
        load(registry, "digits", resolution=4096)


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_anti_aliased(channels: int) -> None:
    # One-pixel stripes are grey from afar; a resize that only picks pixels would give all black or all white.
    stripes = np.zeros((2, channels, 64, 64), np.uint8)
    stripes[:, :, :, ::2] = 255
    small = common.resize(stripes, 16, "x")
    assert small.shape == (2, channels, 16, 16)
    assert np.abs(small.astype(int) - 127).max() < 16


def test_resizing_keeps_channels_apart_and_equals_pillow() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 28, 28), np.uint8)
    large = common.resize(images, 32, "x")
    for image, got in zip(images, large, strict=True):
        for channel, plane in zip(image, got, strict=True):
            np.testing.assert_array_equal(plane, Image.fromarray(channel).resize((32, 32), Image.Resampling.BICUBIC))
    assert common.resize(images, 28, "x") is images
    assert common.resize(images, None, "x") is images


def test_split_is_one_in_ten_and_stays_when_others_come() -> None:
    keys = [str(i).encode() for i in range(5000)]
    held, kept = common.split_indices(keys, "test", "x"), common.split_indices(keys, "train", "x")
    assert 420 < len(held) < 580
    np.testing.assert_array_equal(np.sort(np.concatenate([held, kept])), np.arange(5000))
    np.testing.assert_array_equal(common.split_indices(keys[:2000], "test", "x"), held[held < 2000])
    np.testing.assert_array_equal(common.split_indices([b"new", *keys], "test", "x")[-len(held) :], held + 1)


@pytest.mark.parametrize("n", range(2, 12))
def test_no_side_of_a_tiny_data_set_is_empty(n: int) -> None:
    for start in range(200):
        keys = [f"{start}-{i}".encode() for i in range(n)]
        held, kept = common.split_indices(keys, "test", "x"), common.split_indices(keys, "train", "x")
        assert len(held)
        assert len(kept)
        assert len(held) + len(kept) == n


def test_one_sample_is_for_training() -> None:
    for key in range(50):
        assert len(common.split_indices([str(key).encode()], "train", "x")) == 1
    with pytest.raises(GanforgeError, match=r"^data set 'x' has a single sample and so no test split$"):
        common.split_indices([b"a"], "test", "x")


def test_ring_is_pacgans(registry: Registry) -> None:
    data = load(registry, "ring")
    assert data.samples.shape == (100_000, 2)
    assert data.samples.dtype == np.float32
    assert data.labels is None
    assert data.spec.kind == "points"
    assert data.spec.classes == ()
    assert data.mixture is not None
    angles = np.arange(8) * np.pi / 4
    np.testing.assert_allclose(data.mixture.centres, np.stack([np.cos(angles), np.sin(angles)], 1), atol=1e-12)
    assert data.mixture.sigma == 0.01


def test_grid_is_pacgans(registry: Registry) -> None:
    data = load(registry, "grid")
    assert data.mixture is not None
    assert {tuple(c) for c in data.mixture.centres} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    assert data.mixture.sigma == 0.05


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_points_come_from_their_mixture(registry: Registry, name: str) -> None:
    data = load(registry, name, labelled=True)
    assert data.mixture is not None
    assert data.labels is not None
    assert len(data.spec.classes) == len(data.mixture.centres)
    noise = (data.samples - data.mixture.centres[data.labels]) / data.mixture.sigma
    assert np.abs(noise.mean(0)).max() < 0.02
    assert np.abs(np.cov(noise.T) - np.eye(2)).max() < 0.02
    shares = np.bincount(data.labels) / len(data)
    assert np.abs(shares * len(shares) - 1).max() < 0.07


def test_mixture_options(registry: Registry) -> None:
    ring = load(registry, "ring", modes=3, radius=5.0, sigma=0.2, samples=30)
    assert ring.mixture is not None
    assert ring.samples.shape == (30, 2)
    np.testing.assert_allclose(np.linalg.norm(ring.mixture.centres, axis=1), 5)
    assert (len(ring.mixture.centres), ring.mixture.sigma) == (3, 0.2)
    grid = load(registry, "grid", side=2, spacing=3.0)
    assert grid.mixture is not None
    assert {tuple(c) for c in grid.mixture.centres} == {(-1.5, -1.5), (-1.5, 1.5), (1.5, -1.5), (1.5, 1.5)}
    assert (ring.spec.extent, grid.spec.extent) == (5, 1.5)
    assert load(registry, "grid", side=1).spec.extent == 1


def test_mixture_splits_differ_and_repeat(registry: Registry) -> None:
    train, test = load(registry, "ring"), load(registry, "ring", "test")
    assert not {p.tobytes() for p in train.samples} & {p.tobytes() for p in test.samples}
    assert train.fingerprint == load(registry, "ring").fingerprint


def test_points_have_no_resolution(registry: Registry) -> None:
    with pytest.raises(
        GanforgeError, match=r"^data set 'ring' has points, which have no resolution: leave out --resolution$"
    ):
        load(registry, "ring", resolution=32)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sigma": -1}, "option 'data.sigma': input should be greater than 0, not -1"),
        ({"mode": 3}, "unknown option 'data.mode'; did you mean 'modes'"),
    ],
)
def test_wrong_options_name_their_key(registry: Registry, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(GanforgeError) as raised:
        resolve({"recipe": "dcgan", "data": {"name": "ring", **values}}, registry)
    assert str(raised.value).startswith(sentence)


def test_listing_data_sets_imports_no_torch() -> None:
    modules = ("digits", "mixtures", "torchvision_sets", "folder")
    code = "import sys\n" + "".join(f"import ganforge.plugins.datasets.{m}\n" for m in modules)
    code += "import ganforge.plugins.metrics.modes\n"
    code += "assert not {'torch', 'torchvision', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
