"""Two domains: how data gives them, in which order a training sees them, and the data sets that have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge.core import ArrayData, Data, DataRequest, DataSpec, GanforgeError, UnpairedData
from ganforge.core.config import DataConfig, load_data, parse_settings, resolve
from ganforge.core.data import Split
from ganforge.core.draw import Stream
from ganforge.core.registry import Registry
from ganforge.plugins.datasets import folder
from ganforge.plugins.datasets.styles import edges, thick_negative

SPEC = DataSpec(shape=(1, 2, 2), domains=("a", "b"))


def numbered(numbers: range) -> ArrayData:
    """Pictures whose pixels are their numbers."""
    pictures = np.array(numbers, np.uint8)[:, None, None, None].repeat(2, 2).repeat(2, 3)
    return ArrayData(DataSpec(shape=(1, 2, 2)), pictures)


UNPAIRED = UnpairedData(SPEC, (numbered(range(6)), numbered(range(100, 104))))


def epoch(stream: Stream, player: str, number: int) -> np.ndarray:
    """The pictures' numbers in an epoch of the larger domain, [6, 2]."""
    return UNPAIRED.fetch(stream.indices(player, number, 6))[0][:, :, 0, 0]


def test_a_spec_says_what_data_gives() -> None:
    assert (SPEC.stacked, DataSpec(shape=(3, 4, 5)).stacked) == ((2, 2, 2), (3, 4, 5))
    assert str(SPEC) == "2×2 grey images in 2 domains"
    samples = torch.arange(2).reshape(1, 2, 1, 1)
    assert SPEC.domain(samples, 1).item() == 1


def test_each_domain_has_an_order_of_its_own() -> None:
    stream = Stream(UNPAIRED, seed=3)
    first, second = epoch(stream, "generator", 0), epoch(stream, "generator", 1)
    assert sorted(first[:, 0]) == sorted(second[:, 0]) == list(range(6))
    shown = np.concatenate([first[:, 1], second[:, 1]])
    assert all(sorted(shown[i : i + 4]) == [100, 101, 102, 103] for i in (0, 4, 8))
    assert {tuple(row) for row in first} != {tuple(row) for row in second}


def test_the_order_is_pure_in_seed_player_and_position() -> None:
    one, two = (Stream(UNPAIRED, seed=3) for _ in range(2))
    later = one.indices("generator", 5, 2)
    for place in range(5):
        two.indices("generator", place, 2)
    np.testing.assert_array_equal(two.indices("generator", 5, 2), later)
    assert not np.array_equal(one.indices("discriminator", 0, 6), one.indices("generator", 0, 6))


def test_unpaired_data_is_one_data_set() -> None:
    assert len(UNPAIRED) == 6
    rows, labels = UNPAIRED.fetch(np.arange(6))
    assert labels is None
    assert rows[:, 1, 0, 0].tolist() == [100, 101, 102, 103, 100, 101]
    other = UnpairedData(SPEC, (numbered(range(6)), numbered(range(100, 105))))
    assert len({UNPAIRED.fingerprint, other.fingerprint}) == 2


# The styles.


def test_edges_are_where_brightness_changes() -> None:
    step = np.zeros((1, 1, 6, 6), np.uint8)
    step[..., 3:] = 200
    found = edges(step)[0, 0]
    assert (found[:, 2:4] == 255).all()
    assert found[:, [0, 1, 4, 5]].max() == 0
    assert edges(np.full((1, 3, 4, 4), 77, np.uint8)).max() == 0


def test_a_dot_becomes_a_dark_cross() -> None:
    dot = np.zeros((1, 1, 5, 5), np.uint8)
    dot[0, 0, 2, 2] = 255
    dark = thick_negative(dot)[0, 0] == 0
    assert dark.sum() == 5
    assert dark[2, 1:4].all()
    assert dark[1:4, 2].all()


@pytest.mark.parametrize("split", ["train", "test"])
def test_halves_are_disjoint_and_pairs_are_not(registry: Registry, split: Split) -> None:
    halves = load_data(DataConfig(name="negatives", paired=False, resolution=8), registry, split)
    pairs = load_data(DataConfig(name="negatives", resolution=8), registry, split)
    digits = load_data(DataConfig(name="digits", resolution=8), registry, split)
    assert isinstance(halves, UnpairedData)
    assert halves.spec.domains == pairs.spec.domains == ("plain", "negative")
    plain, negative = (side.fetch(np.arange(len(side)))[0] for side in halves.sides)
    every = digits.fetch(np.arange(len(digits)))[0]
    np.testing.assert_array_equal(plain, every[::2])
    np.testing.assert_array_equal(negative, thick_negative(every[1::2]))
    rows = pairs.fetch(np.arange(len(pairs)))[0]
    np.testing.assert_array_equal(rows, np.concatenate([every, thick_negative(every)], axis=1))


def test_styles_are_of_pictures(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match=r"option 'data\.of': .* 'ring' has points"):
        resolve(parse_settings(["recipe=cyclegan", "data=negatives", "data.of=ring"]), registry)


# Folders.


def draw(path: Path, value: int, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def load(path: Path, split: Split = "train", **options: object) -> Data:
    wanted = folder.FolderOptions(path=str(path), channels=1, **options)  # type: ignore[arg-type]
    return folder.load(wanted, DataRequest(split, 8))


def values(data: Data) -> list[set[int]]:
    """The pixel values of each domain."""
    rows = data.fetch(np.arange(len(data)))[0]
    return [set(data.spec.domain(rows, number).flatten().tolist()) for number in (0, 1)]


def test_folders_of_domains_have_splits_of_their_own(tmp_path: Path) -> None:
    for name, value in (("trainA", 10), ("trainB", 20), ("testA", 30), ("testB", 40)):
        for number in range(3):
            draw(tmp_path / name / f"{number}.png", value + number)
    train, test = load(tmp_path), load(tmp_path, "test")
    assert isinstance(train, UnpairedData)
    assert train.spec.domains == ("A", "B")
    assert (len(train), values(train)) == (3, [{10, 11, 12}, {20, 21, 22}])
    assert values(test) == [{30, 31, 32}, {40, 41, 42}]


def test_without_test_folders_a_tenth_is_held_out(tmp_path: Path) -> None:
    for name, value in (("trainA", 0), ("trainB", 100)):
        for number in range(30):
            draw(tmp_path / name / f"{number}.png", value + number)
    train, test = values(load(tmp_path)), values(load(tmp_path, "test"))
    for known, held_out, start in zip(train, test, (0, 100), strict=True):
        assert known | held_out == set(range(start, start + 30))
        assert held_out
        assert not known & held_out


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_pairs_lie_side_by_side(tmp_path: Path, held_out: str) -> None:
    for name in ("train", held_out):
        pair = Image.new("L", (32, 16), 10 if name == "train" else 30)
        pair.paste(200, (16, 0, 32, 16))
        (tmp_path / name).mkdir()
        pair.save(tmp_path / name / "1.png")
    train = load(tmp_path, pairs=True)
    assert (train.spec.shape, train.spec.stacked, train.spec.paired) == ((1, 8, 8), (2, 8, 8), True)
    assert values(train) == [{10}, {200}]
    assert values(load(tmp_path, "test", pairs=True)) == [{30}, {200}]
    again = load(tmp_path, pairs=True, memory_gib=0)
    np.testing.assert_array_equal(again.fetch(np.arange(1))[0], train.fetch(np.arange(1))[0])


def test_an_empty_domain_is_said(tmp_path: Path) -> None:
    draw(tmp_path / "trainA" / "1.png", 1)
    (tmp_path / "trainB").mkdir()
    with pytest.raises(GanforgeError, match=r"there is no image in .*trainB"):
        load(tmp_path)
