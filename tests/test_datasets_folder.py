"""`folder`: any folder of images. What a user's folder may hold, and what a user gets wrong."""

from __future__ import annotations

import io
import logging
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from ganforge.core import Data, GanforgeError
from ganforge.core.config import resolve
from ganforge.core.data import ArrayData, DataRequest, Split
from ganforge.core.registry import Registry
from ganforge.plugins.datasets import decode, folder

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(path: Path, colour: Any = RED, size: tuple[int, int] = (20, 20), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def load(path: Path, split: Split = "train", resolution: int | None = 8, **options: Any) -> Data:
    return folder.load(folder.FolderOptions(path=str(path), **options), DataRequest(split, resolution))


def everything(path: Path, **options: Any) -> list[tuple[np.ndarray, int | None]]:
    """Samples and labels of both splits."""
    rows: list[tuple[np.ndarray, int | None]] = []
    for split in ("train", "test"):
        data = load(path, split, **options)  # type: ignore[arg-type]
        samples, labels = data.fetch(np.arange(len(data)))
        rows += [(s, None if labels is None else int(labels[i])) for i, s in enumerate(samples)]
    return rows


def one(path: Path, resolution: int = 8, channels: int = 3) -> np.ndarray:
    """One decoded file as [H, W, C], or [H, W] when grey."""
    image = decode.decode(path, resolution, channels).transpose(1, 2, 0)
    assert image.dtype == np.uint8
    return image[:, :, 0] if channels == 1 else image


def save(tmp_path: Path, image: Image.Image, suffix: str = ".png", **options: Any) -> Path:
    path = tmp_path / f"x{suffix}"
    image.save(path, **options)
    return path


# What a picture may be


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".tif", ".ppm", ".tga"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}{suffix}", (200, 30, 30))
    rows = everything(tmp_path)
    assert len(rows) == 3
    for image, _ in rows:
        assert np.abs(image[:, 4, 4].astype(int) - (200, 30, 30)).max() <= 6


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 255, 51), (204, 204, 255)),
        ("LA", (0, 51), (204, 204, 204)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 25700, (100, 100, 100)),
    ],
)
def test_modes(tmp_path: Path, mode: str, colour: Any, rgb: tuple[int, int, int]) -> None:
    path = picture(tmp_path / "x.png", colour, mode=mode)
    assert one(path).reshape(-1, 3).tolist() == [list(rgb)] * 64
    if len(set(rgb)) == 1:
        assert (one(path, channels=1) == rgb[0]).all()


def test_float_grey(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("F", (20, 20), 0.4), ".tif")
    assert (one(path, channels=1) == 102).all()


def test_cmyk(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("CMYK", (20, 20), (0, 255, 255, 0)), ".jpg")
    assert np.abs(one(path)[4, 4].astype(int) - RED).max() <= 6


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (10, 0, 20, 20))
    pixels = one(save(tmp_path, image, transparency=0))
    assert pixels[4, 0].tolist() == [255, 255, 255]
    assert pixels[4, 7].tolist() == list(RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (32, 32), "white")
    upright.paste(RED, (0, 0, 16, 16))
    upright.paste(BLUE, (16, 0, 32, 16))
    stored = next(
        turned
        for method in [None, *Image.Transpose]
        if (turned := upright if method is None else upright.transpose(method))
        and _shown(turned, orientation).tobytes() == upright.tobytes()
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = one(save(tmp_path, stored, exif=exif))
    assert (pixels[1, 1].tolist(), pixels[1, 6].tolist()) == (list(RED), list(BLUE))


def _shown(image: Image.Image, orientation: int) -> Image.Image:
    image = image.copy()
    image.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(image)


def test_a_damaged_exif_block_loses_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image) -> None:
        raise struct.error("bad tag")

    monkeypatch.setattr(decode.ImageOps, "exif_transpose", fail)
    assert one(picture(tmp_path / "x.png")).reshape(-1, 3).tolist() == [list(RED)] * 64


@pytest.mark.parametrize(
    ("size", "resized"), [((48, 16), (24, 8)), ((16, 48), (8, 24)), ((96, 32), (24, 8)), ((8, 8), (8, 8))]
)
def test_the_shorter_side_is_resized_and_the_centre_kept(
    tmp_path: Path, size: tuple[int, int], resized: tuple[int, int]
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    whole = np.asarray(noise.resize(resized, Image.Resampling.BICUBIC))
    left, top = (resized[0] - 8) // 2, (resized[1] - 8) // 2
    np.testing.assert_array_equal(one(save(tmp_path, noise)), whole[top : top + 8, left : left + 8])


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_shrinking_is_anti_aliased(tmp_path: Path, suffix: str) -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    path = save(tmp_path, Image.fromarray(stripes), suffix)
    assert np.abs(one(path, channels=1).astype(int) - 127).max() < 10


def test_one_pixel_is_enough(tmp_path: Path) -> None:
    assert one(picture(tmp_path / "x.png", GREEN, (1, 1))).reshape(-1, 3).tolist() == [list(GREEN)] * 64


# What a folder may be


def test_a_flat_folder(tmp_path: Path) -> None:
    for i in range(30):
        picture(tmp_path / f"{i}.png", (i, 0, 0))
    train, test = load(tmp_path), load(tmp_path, "test")
    assert train.spec == test.spec
    assert train.spec.shape == (3, 8, 8)
    assert train.spec.classes == ()
    rows = everything(tmp_path)
    assert sorted(int(image[0, 0, 0]) for image, _ in rows) == list(range(30))
    assert {label for _, label in rows} == {None}


def test_defaults(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    assert load(tmp_path, resolution=None).spec.shape == (3, 64, 64)
    assert load(tmp_path, resolution=None, channels=1).spec.shape == (1, 64, 64)


@pytest.mark.parametrize("memory_gib", [4.0, 0.0])
def test_a_subfolder_for_each_class(tmp_path: Path, memory_gib: float) -> None:
    colours = {"ape": RED, "bee": GREEN, "cat": BLUE}
    for name, colour in colours.items():
        for i in range(8):
            picture(tmp_path / name / ("deep" if i % 2 else "") / f"{i}.png", colour)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    for split in ("train", "test"):
        assert load(tmp_path, split, memory_gib=memory_gib).spec.classes == ("ape", "bee", "cat")  # type: ignore[arg-type]
    rows = everything(tmp_path, memory_gib=memory_gib)
    assert len(rows) == 24
    for image, label in rows:
        assert label is not None
        assert image[:, 0, 0].tolist() == list(list(colours.values())[label])


def test_a_single_subfolder_is_no_class(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "img_align_celeba" / f"{i}.png")
    assert load(tmp_path).spec.classes == ()


def test_loose_images_beside_subfolders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "c.png"):
        picture(tmp_path / name)
    with caplog.at_level(logging.WARNING, "ganforge"):
        assert load(tmp_path).spec.classes == ()
    assert caplog.messages == [
        f"1 of 4 images lie in {tmp_path} itself, not in a subfolder: all are used, and none has a class"
    ]
    assert len(everything(tmp_path)) == 4


def test_hidden_names_and_other_files_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.png", "2.png", ".hidden.png", ".thumbnails/1.png"):
        picture(tmp_path / name)
    (tmp_path / "._1.png").write_bytes(b"what macOS leaves on other people's disks")
    (tmp_path / "labels.csv").write_text("a,b")
    assert len(everything(tmp_path)) == 2
    assert not caplog.messages


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "elsewhere" / f"{i}.png")
    picture(tmp_path / "data" / "b" / "1.png")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "b" / "up").symlink_to(tmp_path / "data")
    assert load(tmp_path / "data").spec.classes == ("a", "b")
    assert len(everything(tmp_path / "data")) == 5


def test_the_split_is_by_name_and_stays_when_files_are_added(tmp_path: Path) -> None:
    def held() -> set[str]:
        data = load(tmp_path, "test", memory_gib=0)
        assert isinstance(data, folder.LazyImages)
        return set(data.names)

    for i in range(100):
        picture(tmp_path / f"{i}.png")
    before = held()
    assert 3 <= len(before) <= 20
    picture(tmp_path / "1.png", BLUE)  # another picture of the same name
    for i in range(100, 150):
        picture(tmp_path / f"{i}.png")
    assert {name for name in held() if int(name[:-4]) < 100} == before


@pytest.mark.parametrize("held_out", ["test", "val"])
@pytest.mark.parametrize("classes", [("cat", "dog"), ("",)])
def test_a_folder_of_two_splits_is_split_so(tmp_path: Path, held_out: str, classes: tuple[str, ...]) -> None:
    for number in range(12):
        for name in classes:
            picture(tmp_path / "train" / name / f"{number}.png", RED)
    for name in classes:
        picture(tmp_path / held_out / name / "0.png", BLUE)
    (tmp_path / "readme.txt").write_text("")
    train, test = (load(tmp_path, split) for split in folder.SPLITS)
    assert train.spec.classes == test.spec.classes == (classes if len(classes) > 1 else ())
    assert (len(train), len(test)) == (12 * len(classes), len(classes))
    images, labels = test.fetch(np.arange(len(test)))
    assert (images[:, 2] > images[:, 0]).all()
    assert labels is None or labels.tolist() == [0, 1]


def test_beside_other_subfolders_train_and_test_are_classes(tmp_path: Path) -> None:
    for name in ("train", "test", "bus"):
        picture(tmp_path / name / "0.png")
    assert load(tmp_path).spec.classes == ("bus", "test", "train")


def test_two_splits_have_the_same_classes(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "test/cat", "test/eel"):
        picture(tmp_path / name / "0.png")
    with pytest.raises(GanforgeError, match=r"/train and in .*/test differ, as by 'dog': give both the same subfolder"):
        load(tmp_path)


def test_two_images_give_both_splits_one_image_one(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    assert len(load(tmp_path)) == 1
    with pytest.raises(GanforgeError, match=rf"^data set '{tmp_path}' has a single sample and so no test split$"):
        load(tmp_path, "test")
    picture(tmp_path / "2.png")
    assert (len(load(tmp_path)), len(load(tmp_path, "test"))) == (1, 1)


# In memory or not


def test_what_fits_is_in_memory_and_the_rest_is_lazy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / f"{i}.png")
    n = len(load(tmp_path))
    size = n * 3 * 8 * 8 / 2**30
    eager, lazy = load(tmp_path, memory_gib=size), load(tmp_path, memory_gib=size * 0.99)
    assert isinstance(eager, ArrayData)
    assert getattr(lazy, "lazy", False) is True
    assert lazy.spec == eager.spec
    indices = np.array([3, 0, 3, n - 1])
    np.testing.assert_array_equal(lazy.fetch(indices)[0], eager.fetch(indices)[0])
    np.testing.assert_array_equal(lazy.fetch(indices)[0], lazy.fetch(indices)[0])
    assert len(lazy) == n


def test_the_lazy_fingerprint_follows_names_sizes_and_times(tmp_path: Path) -> None:
    for i in range(20):
        picture(tmp_path / f"{i}.png")
    first = load(tmp_path, memory_gib=0)
    assert isinstance(first, folder.LazyImages)
    assert load(tmp_path, memory_gib=0).fingerprint == first.fingerprint
    assert load(tmp_path, memory_gib=0, resolution=16).fingerprint != first.fingerprint
    os.utime(tmp_path / first.names[0], ns=(0, 10**9))
    touched = load(tmp_path, memory_gib=0).fingerprint
    assert touched != first.fingerprint
    (tmp_path / first.names[0]).rename(tmp_path / "renamed.png")
    assert load(tmp_path, memory_gib=0).fingerprint not in (touched, first.fingerprint)


def truncated(path: Path) -> Path:
    """A JPEG whose header is sound and whose picture is not."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    return path


def test_a_picture_found_damaged_late_is_replaced_by_the_next(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(12):
        picture(tmp_path / "ab"[i % 2] / f"{i}.png", RED if i % 2 == 0 else BLUE)
    names = load(tmp_path, memory_gib=0).names  # type: ignore[attr-defined]
    bad = next(i for i in range(len(names) - 1) if names[i][0] == "a" and names[i + 1][0] == "b")
    truncated(tmp_path / names[bad]).rename(tmp_path / names[bad])
    data = load(tmp_path, memory_gib=0)
    for _ in range(2):
        samples, labels = data.fetch(np.array([bad, 0]))
        np.testing.assert_array_equal(samples[0, :, 0, 0], BLUE)
        assert labels is not None
        assert labels[0] == 1
    assert len(caplog.messages) == 1  # once, not in every epoch
    assert "another image takes its place" in caplog.messages[0]


def test_when_all_have_gone_it_is_a_sentence(tmp_path: Path) -> None:
    files = [picture(tmp_path / f"{i}.png") for i in range(4)]
    data = load(tmp_path, memory_gib=0)
    for file in files:
        file.unlink()
    with pytest.raises(GanforgeError, match=rf"images in {tmp_path} can be read any more$"):
        data.fetch(np.arange(2))


# What goes wrong


def test_unreadable_files_are_counted_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(10):
        picture(tmp_path / f"good{i}.png", (i, 0, 0))
    (tmp_path / "text.png").write_text("I am not a picture")
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    names = {"train": 0, "test": 0}
    for split in names:
        caplog.clear()
        names[split] = len(load(tmp_path, split))  # type: ignore[arg-type]
        assert caplog.messages == [
            f"2 of 12 files in {tmp_path} cannot be read and are left out: "
            "text.png (not a picture), zero.jpg (not a picture)"
        ]
    assert sum(names.values()) == 10


@pytest.mark.parametrize("bad", ["00.png", "11.png", "29.png"])
def test_damage_behind_a_sound_header_is_skipped_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    for i in range(30):
        picture(tmp_path / f"{i:02}.png", (i, 0, 0))
    data = bytearray((tmp_path / bad).read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255
    (tmp_path / bad).write_bytes(data)
    rows = everything(tmp_path)
    assert sorted(int(image[0, 0, 0]) for image, _ in rows) == sorted(set(range(30)) - {int(bad[:2])})
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"1 of 30 files in {tmp_path} cannot be read and are left out: {bad} (")


def test_labels_stay_with_their_images_when_some_are_skipped(tmp_path: Path) -> None:
    for i in range(40):
        picture(tmp_path / "ab"[i % 2] / f"{i:02}.png", RED if i % 2 == 0 else BLUE)
    for i in (0, 7, 8, 20):
        truncated(tmp_path / "ab"[i % 2] / f"{i:02}.jpg").rename(tmp_path / "ab"[i % 2] / f"{i:02}.png")
    rows = everything(tmp_path)
    assert len(rows) == 36
    assert all(image[:, 0, 0].tolist() == list([RED, BLUE][label or 0]) for image, label in rows)


def test_many_unreadable_files_are_not_all_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "good.png")
    for i in range(9):
        (tmp_path / f"{i}.png").write_text("no")
    load(tmp_path)
    assert caplog.messages[0].endswith("0.png (not a picture), 1.png (not a picture), 2.png (not a picture) and 6 more")


def test_a_decompression_bomb_is_unreadable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "good.png")
    (tmp_path / "bomb.ppm").write_bytes(b"P6 60000 60000 255 ")
    assert len(load(tmp_path)) == 1
    assert caplog.messages == [
        f"1 of 2 files in {tmp_path} cannot be read and are left out: bomb.ppm (too many pixels)"
    ]


def test_a_postscript_program_named_png_is_not_run(tmp_path: Path) -> None:
    postscript = io.BytesIO()
    Image.new("RGB", (9, 9)).save(postscript, "EPS")
    (tmp_path / "x.png").write_bytes(postscript.getvalue())
    assert decode.check(tmp_path / "x.png") == "not a picture"


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(GanforgeError) as raised:
        load(tmp_path / "nothing")
    assert str(raised.value) == f"cannot read image folder {tmp_path}/nothing: No such file or directory"


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    file = picture(tmp_path / "x.png")
    with pytest.raises(GanforgeError) as raised:
        load(file)
    assert str(raised.value) == f"cannot read image folder {file}: Not a directory"


@pytest.mark.parametrize("content", [[], ["notes.txt"], ["a/b/c.md"]])
def test_a_folder_without_images(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(
        GanforgeError, match=rf"^there is no image in {tmp_path}: no file's name ends in one of .avif, .bmp"
    ):
        load(tmp_path)


def test_a_folder_of_nothing_but_damaged_images(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_text("x")
    with pytest.raises(GanforgeError) as raised:
        load(tmp_path)
    assert str(raised.value) == f"none of the 3 image files in {tmp_path} can be read (0.png: not a picture)"


def test_damage_behind_sound_headers_everywhere(tmp_path: Path) -> None:
    for i in range(3):
        truncated(tmp_path / f"{i}.jpg")
    with pytest.raises(GanforgeError, match=rf"^none of the [12] images of this split of {tmp_path} can be read"):
        load(tmp_path)


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folder.os, "listdir", refuse)  # chmod does not stop root, whom containers run as
    with pytest.raises(GanforgeError) as raised:
        load(tmp_path)
    assert str(raised.value) == f"cannot read image folder {tmp_path}: Permission denied"


def test_a_subfolder_that_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "secret" / "1.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert len(load(tmp_path)) == 1
    assert caplog.messages == [f"cannot read folder {tmp_path}/secret: Permission denied; its images are left out"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "folder"}, "option 'data.path': field required"),
        ({"name": "folder", "path": "."}, "there is no image in "),
        ({"name": "./nothing"}, "cannot read image folder "),
        ({"name": ".", "channels": 2}, "option 'data.channels': input should be 3 or 1, not 2"),
        (
            {"name": ".", "memory_gib": -1},
            "option 'data.memory_gib': input should be greater than or equal to 0, not -1",
        ),
    ],
)
def test_through_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, values: dict[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GanforgeError) as raised:
        resolve({"recipe": "dcgan", "data": values}, registry)
    assert str(raised.value).startswith(sentence)


def test_a_path_in_the_config_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    for i in range(3):
        picture(tmp_path / "pictures" / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    for values in ({"name": "pictures"}, {"name": "folder", "path": "pictures"}):
        config, _ = resolve({"recipe": "dcgan", "data": {**values, "resolution": 16}}, registry)
        assert config.data.values["path"] == str(tmp_path / "pictures")
