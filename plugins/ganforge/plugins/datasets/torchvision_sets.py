"""`mnist`, `fashion-mnist` and `cifar10`, read (and, where asked, downloaded) by torchvision."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ganforge.core import ArrayData, DataRequest, Dataset, DataSpec, GanforgeError, Options, hookimpl
from ganforge.core.files import atomic
from ganforge.plugins.blocks.torchvision_import import torchvision_datasets
from ganforge.plugins.datasets.common import resize


@dataclass(frozen=True)
class Source:
    """A data set as torchvision knows it."""

    name: str
    factory: str  # the class in torchvision.datasets
    folder: str  # where that class looks, below the root
    summary: str
    paper: str
    classes: tuple[str, ...]
    packaged: Path | None = None  # where Debian puts its gzipped files
    package: str = ""


IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")  # fmt: skip
MNIST = Source(
    name="mnist",
    factory="MNIST",
    folder="MNIST/raw",
    summary="70,000 handwritten digits, 28×28 grey",
    paper="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    classes=tuple("0123456789"),
)
FASHION_MNIST = Source(
    name="fashion-mnist",
    factory="FashionMNIST",
    folder="FashionMNIST/raw",
    summary="70,000 articles of clothing, 28×28 grey",
    paper="1708.07747",
    classes=(
        "t-shirt/top", "trouser", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    packaged=Path("/usr/share/datasets/fashion-mnist"),
    package="dataset-fashion-mnist",
)  # fmt: skip
CIFAR10 = Source(
    name="cifar10",
    factory="CIFAR10",
    folder="cifar-10-batches-py",
    summary="60,000 photographs, 32×32 colour",
    paper="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)


def load(source: Source, options: Options, request: DataRequest) -> ArrayData:
    """A split of `source` in memory, at its own size unless asked otherwise; `test` is the authors' test set.

    Raises:
        GanforgeError: it is not there and may not be or could not be downloaded, is damaged, or does not fit.
    """
    root = (request.root or default_root()).expanduser()
    if source.packaged is not None:
        _unpack(source.packaged, root / source.folder)
    images, labels = _read(source, root, request)
    images = resize(images, request.resolution, source.name)
    return ArrayData(DataSpec(shape=images.shape[1:], classes=source.classes), images, labels)


def default_root() -> Path:
    """Where data sets lie when nobody says: `ganforge/data` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "ganforge" / "data"


def _lists(folder: Path) -> set[str]:
    """The names in a folder; none where there is no folder to be read."""
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()


def _unpack(packaged: Path, folder: Path) -> None:
    """Decompress what is missing in `folder`, if Debian's package has it.

    Debian compressed the files anew, so torchvision's checksums refuse them; unpacked, it takes them.
    """
    missing = [name for name in IDX_FILES if name not in _lists(folder)]
    if not {f"{name}.gz" for name in missing} <= _lists(packaged):
        return
    for name in missing:
        try:
            _decompress(packaged / f"{name}.gz", folder / name)
        except GanforgeError as error:
            raise GanforgeError(f"{error} (--data-root names another folder to unpack to)") from None


def _decompress(packed: Path, target: Path) -> None:
    with atomic(target) as temporary, temporary.open("wb") as out:
        try:
            with gzip.open(packed) as source:
                shutil.copyfileobj(source, out)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise GanforgeError(f"{packed} is damaged: {error}") from None


def _read(source: Source, root: Path, request: DataRequest) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, C, H, W] and labels int64 [n]."""
    folder = root / source.folder
    if not request.download and not _lists(folder):
        raise _not_there(source, root)
    factory = getattr(torchvision_datasets(), source.factory)
    try:
        loaded = factory(str(root), train=request.split == "train", download=request.download)
        return _arrays(loaded, source)
    # A file cut short fails in as many ways as there are lines in the reader, AssertionError among them.
    except Exception as error:
        raise _failed(source, folder, request, error) from error


def _failed(source: Source, folder: Path, request: DataRequest, error: Exception) -> GanforgeError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if request.download:
        return GanforgeError(
            f"could not download data set '{source.name}' to {folder} ({reason}): check the connection, "
            f"and delete that folder if what is in it is damaged"
        )
    return GanforgeError(
        f"data set '{source.name}' in {folder} is incomplete or damaged ({reason}): delete that folder "
        f"and fetch it again with --download, or give another with --data-root"
    )


def _not_there(source: Source, root: Path) -> GanforgeError:
    package = f", or install Debian's package {source.package}" if source.package else ""
    return GanforgeError(
        f"data set '{source.name}' is not in {root / source.folder}: name the folder that holds "
        f"{source.folder} with --data-root, or allow the download with --download{package}"
    )


def _arrays(loaded: Any, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """torchvision's arrays in our layout: it keeps grey images as [n, H, W], colour ones as [n, H, W, C].

    Raises:
        ValueError: images and labels do not belong together.
    """
    images, labels = np.asarray(loaded.data), np.asarray(loaded.targets, dtype=np.int64)
    if len(images) != len(labels) or not len(images) or images.shape[1] != images.shape[2]:
        raise ValueError(f"{len(labels)} labels for images of shape {images.shape}")
    if not 0 <= labels.min() <= labels.max() < len(source.classes):
        raise ValueError(f"labels from {labels.min()} to {labels.max()}")
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images), labels


def _dataset(source: Source) -> Dataset[Any]:
    return Dataset(
        name=source.name,
        summary=source.summary,
        paper=source.paper,
        load=partial(load, source),
        downloads=True,
    )


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [_dataset(source) for source in (MNIST, FASHION_MNIST, CIFAR10)]
