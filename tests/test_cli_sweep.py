"""`ganforge sample --sweep`: the same pictures from a run and its file, and what cannot be swept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from command import TINY, done, refused
from PIL import Image

from ganforge.core import train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN


def make(folder: Path, **changes: object) -> Path:
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    train(tiny.request(**changes), folder / "run", registry=registry)
    return folder / "run"


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("coded"), latent={"dim": 3, "categorical": (3,), "continuous": 1})


def test_each_code_has_a_picture_the_same_from_run_and_file(coded: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    done("export", coded, "-o", file, *TINY)
    pictures = []
    for name, source in (("run", coded), ("file", file)):
        out = done("sample", source, "--sweep", "--seed", 2, "--columns", 5, "-o", tmp_path / name, *TINY).out
        assert out == f"a picture for each of 2 codes in {tmp_path / name}\n"
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["code-0.png", "code-1.png"]
        pictures.append([np.asarray(Image.open(tmp_path / name / f"code-{i}.png")).astype(int) for i in range(2)])
    # Five columns and a row for each category, each 8×8 picture enlarged to 64 with a gap of 2.
    assert pictures[0][0].shape == pictures[0][1].shape == (3 * 66 + 2, 5 * 66 + 2)
    assert np.abs(np.array(pictures[0]) - np.array(pictures[1])).max() <= 1


def test_what_cannot_be_swept_is_one_sentence(coded: Path, tmp_path: Path) -> None:
    plain = make(tmp_path / "plain")
    labelled = make(
        tmp_path / "labelled",
        data={"name": "tiny-pictures", "classes": 2},
        conditioning="concat",
        latent={"dim": 3, "continuous": 1},
    )
    out = ("-o", tmp_path / "out", *TINY)
    assert "has no codes beside its noise; leave --sweep out" in refused("sample", plain, "--sweep", *out)
    assert "choose the class to sweep in with --label" in refused("sample", labelled, "--sweep", *out)
    assert "trained without labels" in refused("sample", coded, "--sweep", "--label", "1", *out)
    assert "give --out a new folder" in refused("sample", coded, "--sweep", "-o", tmp_path / "a.png", *TINY)
    assert not (tmp_path / "out").exists()
    done("sample", labelled, "--sweep", "--label", "class 1", *out)


def test_points_cannot_be_swept(tmp_path: Path) -> None:
    run = make(tmp_path, data="ring", architecture="tiny", latent={"dim": 3, "continuous": 1})
    assert "makes points" in refused("sample", run, "--sweep", "-o", tmp_path / "out", *TINY)
