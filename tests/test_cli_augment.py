"""`ganforge augment`: a folder with a subfolder for each class, which a training takes again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import TINY, done, refused
from explored import LABELLED, load, make
from PIL import Image

from ganforge.cli.augment import folder_names
from ganforge.core import DataRequest, GanforgeError
from ganforge.core.pictures import to_pixels
from ganforge.plugins.datasets.folder import FolderOptions
from ganforge.plugins.datasets.folder import load as load_folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("labelled"), **LABELLED)


def test_samples_are_those_of_the_seed_in_the_folder_of_their_class(labelled: Path, tmp_path: Path) -> None:
    told = json.loads(
        done("augment", labelled, "--per-class", 4, "--seed", 3, "--out", tmp_path / "a", "--json", *TINY).out
    )
    assert (told["samples"], told["real"]) == (12, 0)
    made = to_pixels(load(labelled).sample(12, 3))
    for i, picture in enumerate(made):
        path = tmp_path / "a" / f"class {i % 3}" / f"sample-{i:06d}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture[:, :, 0])
    assert len(list((tmp_path / "a").rglob("*.png"))) == 12


def test_real_pictures_stand_beside_them_and_the_folder_is_a_data_set(labelled: Path, tmp_path: Path) -> None:
    done("export", labelled, "-o", tmp_path / "m.onnx", *TINY)
    done("augment", tmp_path / "m.onnx", "--per-class", 10, "--with-real", "--out", tmp_path / "a", *TINY)
    training = tiny.load(tiny.PictureOptions(classes=3), DataRequest())
    assert len(list((tmp_path / "a").rglob("real-*.png"))) == len(training)
    first = tmp_path / "a" / training.spec.classes[int(training.labels[0])] / "real-000000.png"  # type: ignore[index]
    np.testing.assert_array_equal(np.asarray(Image.open(first)), training.samples[0, 0])
    again = load_folder(FolderOptions(path=str(tmp_path / "a"), channels=1), DataRequest(resolution=8))
    assert again.spec == training.spec


def test_names_of_folders() -> None:
    assert folder_names(["T-shirt/top", "Bag"]) == ["T-shirt-top", "Bag"]
    for classes in (["a/b", "a-b"], [".hidden", "b"], [" ", "b"]):
        with pytest.raises(GanforgeError, match="make no folders of their own"):
            folder_names(classes)


def test_mistakes_are_one_sentence(labelled: Path, tmp_path: Path) -> None:
    asked = ("--per-class", 2, *TINY)
    plain = make(tmp_path / "plain")
    assert "train one with --conditioning" in refused("augment", plain, *asked, "--out", tmp_path / "a")
    assert "exists already" in refused("augment", labelled, *asked, "--out", tmp_path)
    assert "give both" in refused("augment", labelled, *asked, "--data", "digits", "--out", tmp_path / "a")
    digits = ("--with-real", "--data", "digits")
    assert "the classes of the data are not" in refused("augment", labelled, *asked, *digits, "--out", tmp_path / "a")
    (tmp_path / "file").touch()
    assert "may write" in refused("augment", labelled, *asked, "--out", tmp_path / "file" / "a")
    assert not (tmp_path / "a").exists()
