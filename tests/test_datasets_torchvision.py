"""Data sets read by torchvision: synthetic files, Debian's real ones, what goes wrong. No downloads."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import pickle
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganforge.core import GanforgeError, Options
from ganforge.core.data import ArrayData, DataRequest
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.torchvision_import import torchvision_datasets
from ganforge.plugins.datasets import torchvision_sets
from ganforge.plugins.datasets.torchvision_sets import CIFAR10, FASHION_MNIST, MNIST, Source

RANDOM = np.random.default_rng(0)
PICTURES = {
    "train": RANDOM.integers(0, 256, (20, 28, 28), np.uint8),
    "t10k": RANDOM.integers(0, 256, (7, 28, 28), np.uint8),
}
LABELS = {"train": np.arange(20, dtype=np.uint8) % 10, "t10k": np.arange(7, dtype=np.uint8)}


def idx(array: np.ndarray) -> bytes:
    """LeCun's format: 0, 0, type 8 (unsigned byte), rank, then big-endian sizes and the data."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder: Path, *, packed: bool = False) -> Path:
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        for kind, array in (("images-idx3", PICTURES[split]), ("labels-idx1", LABELS[split])):
            name = folder / f"{split}-{kind}-ubyte"
            if packed:
                name.with_name(name.name + ".gz").write_bytes(gzip.compress(idx(array)))
            else:
                name.write_bytes(idx(array))
    return folder


def load(source: Source, root: Path | None, split: str = "train", **request: object) -> ArrayData:
    return torchvision_sets.load(source, Options(), DataRequest(split, root=root, **request))  # type: ignore[arg-type]


def debian(tmp_path: Path) -> Source:
    """Fashion-MNIST with a small package of files in Debian's form."""
    return dataclasses.replace(FASHION_MNIST, packaged=write_idx(tmp_path / "package", packed=True))


@pytest.mark.parametrize("source", [MNIST, dataclasses.replace(FASHION_MNIST, packaged=None)])
def test_files_in_the_data_root(tmp_path: Path, source: Source) -> None:
    write_idx(tmp_path / source.folder)
    for split, name in (("train", "train"), ("test", "t10k")):
        data = load(source, tmp_path, split)
        np.testing.assert_array_equal(data.samples, PICTURES[name][:, None])
        np.testing.assert_array_equal(data.labels, LABELS[name])  # type: ignore[arg-type]
        assert data.labels is not None
        assert data.labels.dtype == np.int64
        assert data.spec.shape == (1, 28, 28)
        assert data.spec.classes == source.classes


def test_resolution(tmp_path: Path) -> None:
    write_idx(tmp_path / MNIST.folder)
    data = load(MNIST, tmp_path, resolution=32)
    assert data.spec.shape == (1, 32, 32)
    expected = Image.fromarray(PICTURES["train"][3]).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(data.samples[3, 0], expected)


def test_debians_package_is_unpacked_into_the_root(tmp_path: Path) -> None:
    source, root = debian(tmp_path), tmp_path / "root"
    np.testing.assert_array_equal(load(source, root).samples[:, 0], PICTURES["train"])
    raw = root / "FashionMNIST" / "raw"
    assert sorted(path.name for path in raw.iterdir()) == sorted(torchvision_sets.IDX_FILES)
    written = (raw / torchvision_sets.IDX_FILES[0]).stat().st_mtime_ns
    np.testing.assert_array_equal(load(source, root, "test").samples[:, 0], PICTURES["t10k"])
    assert (raw / torchvision_sets.IDX_FILES[0]).stat().st_mtime_ns == written  # not again


def test_debians_package_serves_a_download_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("asked the network"))
    assert len(load(debian(tmp_path), tmp_path / "root", download=True)) == 20


def test_the_users_own_files_go_first(tmp_path: Path) -> None:
    source, root = debian(tmp_path), tmp_path / "root"
    own = root / source.folder / "train-labels-idx1-ubyte"
    own.parent.mkdir(parents=True)
    own.write_bytes(idx(LABELS["train"][::-1]))
    np.testing.assert_array_equal(load(source, root).labels, LABELS["train"][::-1])  # type: ignore[arg-type]


def test_without_a_root_the_users_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(load(debian(tmp_path), None)) == 20
    assert (tmp_path / "cache/ganforge/data/FashionMNIST/raw").is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert torchvision_sets.default_root() == tmp_path / ".cache/ganforge/data"


def test_a_damaged_package_leaves_nothing(tmp_path: Path) -> None:
    source, root = debian(tmp_path), tmp_path / "root"
    assert source.packaged is not None
    packed = source.packaged / "train-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:500])
    with pytest.raises(GanforgeError, match=rf"^{packed} is damaged: "):
        load(source, root)
    assert not list((root / source.folder).iterdir())


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("not a folder")
    with pytest.raises(GanforgeError, match=rf"^could not write {root}/FashionMNIST/raw/.*--data-root"):
        load(debian(tmp_path), root)


@pytest.mark.parametrize("source", [MNIST, CIFAR10, dataclasses.replace(FASHION_MNIST, packaged=Path("/nowhere"))])
def test_missing_files_name_the_folder_and_both_ways_out(tmp_path: Path, source: Source) -> None:
    with pytest.raises(GanforgeError) as raised:
        load(source, tmp_path)
    text = str(raised.value)
    assert text.startswith(f"data set '{source.name}' is not in {tmp_path / source.folder}: ")
    assert "--data-root" in text
    assert "--download" in text
    assert ("dataset-fashion-mnist" in text) == (source.name == "fashion-mnist")
    assert "\n" not in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "cut"),
    [("images-idx3", 0), ("images-idx3", 10), ("images-idx3", 5000), ("labels-idx1", 3), ("labels-idx1", 20)],
)
def test_a_file_cut_short(tmp_path: Path, name: str, cut: int) -> None:
    file = write_idx(tmp_path / MNIST.folder) / f"train-{name}-ubyte"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(
        GanforgeError, match=rf"^data set 'mnist' in {file.parent} is incomplete or damaged .*--data-root$"
    ):
        load(MNIST, tmp_path)


def test_a_file_missing_among_four(tmp_path: Path) -> None:
    (write_idx(tmp_path / MNIST.folder) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(GanforgeError, match=r"is incomplete or damaged"):
        load(MNIST, tmp_path)


@pytest.mark.parametrize("labels", [np.arange(20, dtype=np.uint8), np.zeros(19, np.uint8)])
def test_labels_that_do_not_fit(tmp_path: Path, labels: np.ndarray) -> None:
    (write_idx(tmp_path / MNIST.folder) / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(GanforgeError, match=r"is incomplete or damaged .*labels"):
        load(MNIST, tmp_path)


@pytest.mark.parametrize("source", [MNIST, CIFAR10])
def test_a_failed_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(GanforgeError) as raised:
        load(source, tmp_path, download=True)
    text = str(raised.value)
    assert text.startswith(f"could not download data set '{source.name}' to {tmp_path / source.folder} (")
    assert "no route to host" in text
    assert "\n" not in text


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision checks md5 sums before it unpickles, so the synthetic batches bring their own."""
    folder = tmp_path / CIFAR10.folder
    folder.mkdir()
    factory = torchvision_datasets().CIFAR10
    pixels = RANDOM.integers(0, 256, (6, 3, 32, 32), np.uint8)

    def write(name: str, content: object) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    batch = write("data_batch_1", {"data": pixels.reshape(6, -1), "labels": [3, 1, 4, 1, 5, 9]})
    monkeypatch.setattr(factory, "train_list", [["data_batch_1", batch]])
    monkeypatch.setattr(factory, "test_list", [["data_batch_1", batch]])
    meta = write("batches.meta", {"label_names": list(CIFAR10.classes)})
    monkeypatch.setattr(factory, "meta", {"filename": "batches.meta", "key": "label_names", "md5": meta})
    data = load(CIFAR10, tmp_path)
    np.testing.assert_array_equal(data.samples, pixels)
    assert data.samples.flags.c_contiguous
    np.testing.assert_array_equal(data.labels, [3, 1, 4, 1, 5, 9])  # type: ignore[arg-type]
    assert data.spec.shape == (3, 32, 32)
    assert load(CIFAR10, tmp_path, resolution=16).samples.shape == (6, 3, 16, 16)
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'false'\ntR.")  # a pickle that would run a command
    with pytest.raises(GanforgeError, match=r"is incomplete or damaged"):
        load(CIFAR10, tmp_path)


def test_classes_are_torchvisions(registry: Registry) -> None:
    datasets = torchvision_datasets()
    assert FASHION_MNIST.classes == tuple(name.lower() for name in datasets.FashionMNIST.classes)
    assert len(MNIST.classes) == len(CIFAR10.classes) == 10
    assert {n for n, s in registry.all("dataset").items() if s.downloads} == {
        "mnist",
        "fashion-mnist",
        "cifar10",
    }  # type: ignore[attr-defined]


@pytest.mark.skipif(
    not (FASHION_MNIST.packaged and FASHION_MNIST.packaged.is_dir()),
    reason="needs Debian's package dataset-fashion-mnist",
)
def test_the_real_fashion_mnist(tmp_path: Path, registry: Registry) -> None:
    spec = registry.find("dataset", "fashion-mnist")
    data = spec.load(spec.options(), DataRequest("test", 32, tmp_path))
    assert data.samples.shape == (10_000, 1, 32, 32)
    assert np.bincount(data.labels).tolist() == [1000] * 10
    train = spec.load(spec.options(), DataRequest("train", None, tmp_path))
    assert train.samples.shape == (60_000, 1, 28, 28)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert train.samples.mean() / 255 == pytest.approx(0.2860, abs=1e-4)  # the mean everyone normalises with


def run_import(tmp_path: Path, init: str) -> subprocess.CompletedProcess[str]:
    """Import a made-up torchvision through the shim, in a fresh process."""
    package = tmp_path / "torchvision"
    (package / "datasets").mkdir(parents=True)
    (package / "__init__.py").write_text("import torch\nfrom torchvision import half\n" + init)
    (package / "half.py").write_text("")
    (package / "datasets" / "__init__.py").write_text("MNIST = 'a class'\n")
    code = (
        "from ganforge.plugins.blocks.torchvision_import import torchvision_datasets\n"
        "print(torchvision_datasets().MNIST, torchvision_datasets() is torchvision_datasets())"
    )
    env = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path]), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


DESCRIBES = """
for name in ("nms", "qnms"):
    @torch.library.register_fake(f"torchvision::{name}")
    def fake(dets, scores, threshold): ...
"""
COMPILED = """
library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@pytest.mark.parametrize("init", [DESCRIBES, COMPILED + DESCRIBES, ""], ids=["no operators", "operators", "older"])
def test_torchvision_imports_with_and_without_its_operators(tmp_path: Path, init: str) -> None:
    done = run_import(tmp_path, init)
    assert done.stdout == "a class True\n", done.stderr


@pytest.mark.parametrize(
    ("init", "sentence"),
    [
        ("raise RuntimeError('wrong CUDA')", "torchvision cannot be imported beside this torch: wrong CUDA"),
        ("import nothing_like_it", "torchvision is needed: pip install 'ganforge[train]'"),
    ],
)
def test_a_torchvision_that_cannot_be_imported(tmp_path: Path, init: str, sentence: str) -> None:
    assert f"ganforge.core.errors.GanforgeError: {sentence}" in run_import(tmp_path, init).stderr
