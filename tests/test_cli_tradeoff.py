"""`evaluate --truncations`: one evaluation for each threshold, as a table, as JSON and as a picture."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from command import TINY, TRAIN_TINY, done, refused
from torch import Tensor

from ganforge.cli import tradeoff
from ganforge.core import GanforgeError, Latent
from ganforge.core.card import Score
from ganforge.core.evaluation import Extractor, Features

COMMON = ("--samples", 24, "--features", "classifier", "--set", "features.images=256", *TINY)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on labelled pictures, which a classifier can be taught."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    done(*TRAIN_TINY, "--set", "data.classes=3", "--steps", 2, "--out", directory)
    return directory


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))


def scores(*points: tuple[float, float, float]) -> list[list[Score]]:
    """Of thresholds, distances and scores."""
    return [
        [
            Score(name="fid<x>@10", value=fid, provenance={"metric": "fid", "truncation": at}),
            Score(name="is@10", value=score, provenance={"metric": "inception-score", "truncation": at}),
            Score(name="is_std@10", value=0.1, provenance={"metric": "inception-score", "truncation": at}),
        ]
        for at, fid, score in points
    ]


def test_each_threshold_is_scored_as_by_itself(run: Path, tmp_path: Path) -> None:
    found = json.loads(done("evaluate", run, *COMMON, "--truncations", "1,0.5,2", "--json").out)
    assert [score["provenance"]["truncation"] for score in found[::3]] == [0.5, 1, 2]
    alone = json.loads(
        done("evaluate", run, *COMMON, "--truncation", 1, "--metrics", "fid,inception-score", "--json").out
    )
    assert [score["name"] for score in alone] == [score["name"] for score in found[3:6]]
    assert [score["value"] for score in alone] == [score["value"] for score in found[3:6]]
    # What real data scores is told once.
    assert ["floor" in score["provenance"] for score in found] == [True] * 3 + [False] * 6


def test_real_pictures_are_looked_at_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = Extractor.forward

    def watched(self: Extractor, images: Tensor) -> Features:
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Extractor, "forward", watched)
    done("evaluate", run, *COMMON, "--truncations", "0.5,1,2")
    assert sum(seen) == 24 * (1 + 1 + 3)  # real ones of each split, and three times generated ones


def test_a_table_and_a_picture(run: Path, tmp_path: Path) -> None:
    lines = done("evaluate", run, *COMMON, "--truncations", "0.5,1", "--out", tmp_path / "curve").out.splitlines()
    names = [f"{figure}_classifier@24[features.images=256]" for figure in ("fid", "is", "is_std")]
    assert lines[0].split() == ["truncation", *names]
    assert [line.split()[0] for line in lines[1:]] == ["0.5", "1", "real"]
    root = ElementTree.parse(tmp_path / "curve" / "trade-off.svg").getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"0.5", "1", *names[:2]} <= set(texts)


def test_the_first_metric_goes_up_and_the_second_across() -> None:
    svg = tradeoff.draw(scores((0.5, 30, 2.0), (1, 10, 3.0), (2, 20, 5.0)))
    points = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)
    x, y = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    assert (np.diff(x) > 0).all()
    assert x[2] - x[1] == pytest.approx(2 * (x[1] - x[0]), abs=0.2)
    # Higher figures are further up; pixels count downwards.
    assert y[0] < y[2] < y[1]
    assert "fid&lt;x&gt;@10" in svg
    assert 'href="' not in svg


def test_with_one_metric_the_threshold_goes_across() -> None:
    curve = [one[:1] for one in scores((0.5, 30, 0), (1, 30, 0))]
    svg = tradeoff.draw(curve)
    assert ">truncation</text>" in svg
    assert len(set(re.findall(r'cx="([\d.]+)"', svg))) == 2  # figures that are all equal have an axis too


@pytest.mark.parametrize(
    ("text", "latent", "sentence"),
    [
        ("1,two", Latent(), "takes numbers above zero, as in 0.25,0.5,1,2, not 'two'"),
        ("1,-2", Latent(), "takes numbers above zero, as in 0.25,0.5,1,2, not '-2'"),
        ("1,inf", Latent(), "takes numbers above zero, as in 0.25,0.5,1,2, not 'inf'"),
        ("1,1.0", Latent(), "takes at least two thresholds, as in 0.25,0.5,1,2"),
        ("0.5,1", Latent(name="sphere"), "latents of this generator are on a sphere, which has no tails to truncate"),
        ("0.5,2", Latent(name="uniform"), "latents of this generator, uniform, stay below 1 anyway; leave out 2"),
        (
            "1,3",
            Latent(name="truncated-normal"),
            "latents of this generator, truncated-normal, stay below 2 anyway; leave out 3",
        ),
    ],
)
def test_thresholds_that_make_no_curve(text: str, latent: Latent, sentence: str) -> None:
    with pytest.raises(GanforgeError) as error:
        tradeoff.thresholds(text, None, None, latent)
    assert str(error.value).endswith(sentence)


def test_options_that_do_not_go_together(run: Path, tmp_path: Path) -> None:
    asked = ("evaluate", run, *COMMON)
    assert refused(*asked, "--truncations", "1,2", "--truncation", 1).startswith("give either --truncation or")
    assert refused(*asked, "--out", tmp_path / "curve").startswith("--out is where the curve of --truncations goes")
    named = refused(*asked, "--truncations", "1,2", "--out", tmp_path / "curve.svg")
    assert named.startswith("--truncations draws trade-off.svg in a folder; give --out a folder, not ")
