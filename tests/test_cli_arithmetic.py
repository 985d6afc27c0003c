"""`ganforge arithmetic`: sums of means, their neighbours, and the picture of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import TINY, done, refused
from explored import LABELLED, make
from PIL import Image

from ganforge.cli.arithmetic import Term, around, draw, result
from ganforge.core import DataSpec, Latent
from ganforge.core.latents import Generator


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain"))


def generator(latent: Latent) -> Generator:
    """One whose pictures [N, 1, 1, 2] are the first two numbers of their latents."""
    spec = DataSpec(shape=(1, 1, 2))
    return Generator(latent, spec, False, lambda latents, labels: latents[:, None, None, :2])


def terms(latent: Latent, exemplars: int) -> list[Term]:
    """a - b + c."""
    drawn = [(latent.sample(seed, exemplars), None) for seed in (1, 2, 3)]
    return [(1, drawn[0]), (-1, drawn[1]), (1, drawn[2])]


def test_means_are_added_and_subtracted() -> None:
    latent = Latent(dim=4)
    asked = terms(latent, 3)
    a, b, c = (one[0] for _, one in asked)
    expected = a.mean(axis=0) - b.mean(axis=0) + c.mean(axis=0)
    np.testing.assert_allclose(result(generator(latent), asked)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(result(generator(latent), asked, first=True)[0], a[0] - b[0] + c[0], rtol=1e-6)


def test_three_means_of_three_are_as_long_as_samples_are() -> None:
    latent = Latent(dim=20_000)
    asked = terms(latent, 3)
    lengths = [np.linalg.norm(result(generator(latent), asked, first=first)) for first in (False, True)]
    np.testing.assert_allclose(lengths, np.sqrt([20_000, 3 * 20_000]), rtol=0.02)


def test_on_a_sphere_the_result_is_brought_back() -> None:
    latent = Latent(name="sphere", dim=9, continuous=1)
    asked = terms(latent, 3)
    nine = around(generator(latent), result(generator(latent), asked), 0.25, 0)
    np.testing.assert_allclose(np.linalg.norm(nine[:, :9], axis=1), 3, rtol=1e-6)


def test_eight_neighbours_within_the_noise() -> None:
    latent = Latent(dim=50, continuous=2)
    centre = latent.sample(1, 1)
    moved = around(generator(latent), centre, 0.25, 0) - centre
    assert (moved[4] == 0).all()
    assert (moved[:, 50:] == 0).all(), "codes stay"
    others = np.delete(moved, 4, axis=0)[:, :50]
    assert 0.24 < np.abs(others).max() <= 0.25
    assert len(np.unique(others.round(6), axis=0)) == 8


def test_the_picture_has_rows_and_both_results() -> None:
    latent = Latent(name="uniform", dim=3)
    shown = draw(generator(latent), terms(latent, 3), 0.25, 0)
    assert shown.shape == (3 * 34 + 2, (4 + 3 + 3) * 66 + 3 * 2, 1)  # 1×2 pixels enlarged to 32×64
    assert draw(generator(latent), terms(latent, 1), 0.25, 0).shape == (3 * 34 + 2, (1 + 3) * 66 + 2 * 2, 1)


def test_a_file_gives_what_its_run_gives(run: Path, tmp_path: Path) -> None:
    done("export", run, "-o", tmp_path / "m.onnx", *TINY)
    shown = []
    for source in (run, tmp_path / "m.onnx"):
        asked = ("--plus", "1,2,3", "--minus", "4,5,6", "--plus", "7:1,8")
        told = done("arithmetic", source, *asked, "-o", tmp_path / "sum.png", *TINY).out
        assert told == f"+3 +2 -3 exemplars in {tmp_path / 'sum.png'}\n"
        shown.append(np.asarray(Image.open(tmp_path / "sum.png")).astype(int))
    assert np.abs(shown[0] - shown[1]).max() <= 1


def test_mistakes_are_one_sentence(run: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.png", *TINY)
    assert "one term is no sum" in refused("arithmetic", run, "--plus", "1,2", *out)
    assert "--minus takes SEED" in refused("arithmetic", run, "--plus", "1", "--minus", "a", *out)
    assert "leave --label out" in refused("arithmetic", run, "--plus", "1", "--minus", "2", "--label", "x", *out)
    assert "is a folder" in refused("arithmetic", run, "--plus", "1", "--minus", "2", "-o", tmp_path, *TINY)
    assert "no.json: No such file" in refused("arithmetic", run, "--plus", "1", "--minus", tmp_path / "no.json", *out)
    points = make(tmp_path / "points", data="ring")
    assert "makes points" in refused("arithmetic", points, "--plus", "1", "--minus", "2", *out)
    assert not (tmp_path / "out.png").exists()


def test_with_labels_each_exemplar_is_of_its_own_class(tmp_path: Path) -> None:
    labelled = make(tmp_path, **LABELLED)
    out = ("-o", tmp_path / "out.png", *TINY)
    done("arithmetic", labelled, "--plus", "1,1:2", "--minus", "2:1", *out)
    own = (tmp_path / "out.png").read_bytes()
    done("arithmetic", labelled, "--plus", "1,1:2", "--minus", "2:1", "--label", 2, *out)
    assert (tmp_path / "out.png").read_bytes() != own
