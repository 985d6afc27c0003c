"""Parts of a data set: some classes of it, and few samples for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from ganforge.core import ArrayData, Data, DataSpec, GanforgeError, resume, train
from ganforge.core.config import DataConfig, load_data
from ganforge.core.data import Split, UnpairedData, chosen
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


def load(registry: Registry, name: str, split: Split = "train", **options: object) -> Data:
    return load_data(parse(DataConfig, {"name": name, **options}, "data"), registry, split)


def everything(data: Data) -> tuple[np.ndarray, np.ndarray | None]:
    return data.fetch(np.arange(len(data)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_are_kept_in_the_order_asked_for(registry: Registry, split: Split) -> None:
    samples, labels = everything(load(registry, "digits", split))
    part = load(registry, "digits", split, only=["7", 2])
    assert part.spec.classes == ("7", "2")
    kept, numbers = everything(part)
    assert len(part) == np.isin(labels, [2, 7]).sum()
    assert np.array_equal(kept[numbers == 0], samples[labels == 7])
    assert np.array_equal(kept[numbers == 1], samples[labels == 2])


def test_a_limit_keeps_some_for_training_and_all_that_is_held_out(registry: Registry) -> None:
    whole = {image.tobytes() for image in everything(load(registry, "digits"))[0]}
    few, more = ({image.tobytes() for image in everything(load(registry, "digits", limit=n))[0]} for n in (20, 50))
    assert (len(few), len(more)) == (20, 50)
    assert few < more < whole
    assert len(load(registry, "digits", "test", limit=20)) == len(load(registry, "digits", "test"))


def test_a_limit_is_of_each_unpaired_domain(registry: Registry) -> None:
    whole, few = (load(registry, "negatives", paired=False, limit=n) for n in (None, 20))
    assert isinstance(few, UnpairedData)
    assert few.sizes == (20, 20)
    for side, every in zip(few.sides, whole.sides, strict=True):  # type: ignore[attr-defined]
        assert {image.tobytes() for image in everything(side)[0]} < {image.tobytes() for image in everything(every)[0]}


def test_a_limit_counts_what_is_left_of_the_classes(registry: Registry) -> None:
    part = load(registry, "digits", only=["3"], limit=10)
    assert len(part) == 10
    assert set(everything(part)[1]) == {0}


def test_without_either_the_data_is_as_it_was(registry: Registry) -> None:
    one, two = load(registry, "digits"), load(registry, "digits", limit=100)
    assert one.fingerprint == load(registry, "digits", only=[], limit=None).fingerprint != two.fingerprint


def test_pictures_that_are_read_again_and_again_lie_in_memory_then(registry: Registry, tmp_path: Path) -> None:
    for name, grey in (("dark", 30), ("bright", 220)):
        (tmp_path / name).mkdir()
        for number in range(30):
            Image.new("L", (8, 8), grey + number % 20).save(tmp_path / name / f"{number}.png")
    options = {"path": str(tmp_path), "channels": 1, "resolution": 8, "memory_gib": 0}
    part = load(registry, "folder", **options, only=["dark"], limit=5)
    assert isinstance(part, ArrayData)
    assert part.samples.shape == (5, 1, 8, 8)
    assert part.samples.max() < 60


def test_points_can_be_few(registry: Registry) -> None:
    part = load(registry, "ring", limit=16)
    assert isinstance(part, ArrayData)
    assert len(part) == 16
    assert part.mixture is not None


def test_a_part_of_stacked_digits_knows_the_single_ones(registry: Registry) -> None:
    part = load(registry, "stacked-digits", samples=20, held_out=10, limit=5)
    assert (len(part), part.single.spec.classes) == (5, tuple("0123456789"))  # type: ignore[attr-defined]


def test_a_limit_reads_nothing_of_what_is_held_out(registry: Registry, tmp_path: Path) -> None:
    for number in range(60):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    options = {"path": str(tmp_path), "channels": 1, "resolution": 8, "memory_gib": 0, "limit": 5}
    assert not isinstance(load(registry, "folder", "test", **options), ArrayData)


def test_a_class_without_a_sample_in_a_split_is_refused(registry: Registry) -> None:
    data = ArrayData(DataSpec(shape=(2,), classes=("a", "rare")), np.zeros((3, 2), np.float32), np.zeros(3, np.int64))
    with pytest.raises(GanforgeError, match=r"^option 'data.only': no sample of these classes is in the train split"):
        chosen(data, "train", ["rare"], None)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("digits", {"only": ["ten"]}, "unknown class 'ten'"),
        ("ring", {"only": ["0"]}, "option 'data.only': 'ring' has no classes"),
        ("tiny-pictures", {"limit": 25}, "option 'data.limit': there are 24 samples for training, not 25"),
    ],
)
def test_mistakes_are_named(registry: Registry, name: str, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(GanforgeError, match=sentence):
        load(registry, name, **options)


def test_a_run_on_a_part_goes_on_with_it(registry: Registry, tmp_path: Path) -> None:
    data = {"name": "digits", "resolution": 8, "only": ["1", "4"], "limit": 30}
    run = train(tiny.request(data=data), tmp_path / "run", registry=registry)
    assert run.data.classes == ("1", "4")
    assert resume(tmp_path / "run", steps=6, registry=registry).round == 6
