"""`ganforge export` by its options: the form of the file, scores of what precision costs, JSON, and refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command import TINY, TRAIN_TINY, done, refused

from ganforge.core.card import Card
from ganforge.serve import load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli-export") / "run"
    done(*TRAIN_TINY, "--steps", "4", "--out", folder)
    return folder


def test_json_is_the_card(run: Path, tmp_path: Path) -> None:
    form = ("--inputs", "seed", "--pixels", "uint8")
    outcome = done("export", run, "-o", tmp_path / "m.onnx", *form, "--json", *TINY)
    card = Card.model_validate(json.loads(outcome.out))
    assert card == load(tmp_path / "m.onnx").card
    assert (card.inputs[0].role, card.outputs[0].dtype, outcome.err) == ("seed", "uint8", "")


def test_a_file_of_seeds_goes_through_every_command(run: Path, tmp_path: Path) -> None:
    for name, form in (("z", ()), ("seed", ("--inputs", "seed", "--pixels", "uint8"))):
        done("export", run, "-o", tmp_path / f"{name}.onnx", *form, *TINY)
        sample = ("--n", "9", "--seed", "3", "--truncation", "0.7", "-o", tmp_path / f"{name}.png")
        done("sample", tmp_path / f"{name}.onnx", *sample, *TINY)
    assert (tmp_path / "z.png").read_bytes() == (tmp_path / "seed.png").read_bytes()
    judged = ("--samples", "20", "--features", "random-smoke-test", "--truncation", "0.7", "--json", *TINY)
    judged = ("--metrics", "fid", *judged)
    scores = [json.loads(done("evaluate", tmp_path / f"{n}.onnx", *judged).out)[0]["value"] for n in ("z", "seed")]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)
    path = ("--metrics", "perceptual-path-length", "--samples", "20", "--features", "random-smoke-test", *TINY)
    assert refused("evaluate", tmp_path / "seed.onnx", *path).endswith(
        "export it with --inputs z --pixels float32 --precision fp32"
    )
    sentence = refused("sample", tmp_path / "seed.onnx", "--sweep", "-o", tmp_path / "codes", *TINY)
    assert sentence == f"{tmp_path / 'seed.onnx'} has no codes beside its noise; leave --sweep out"


def test_lower_precision_tells_its_mean_difference(run: Path, tmp_path: Path) -> None:
    outcome = done("export", run, "-o", tmp_path / "m.onnx", "--precision", "int8", "--force", *TINY)
    assert re.search(
        r"^int8: onnxruntime \S+ is \S+ from torch \S+ in fp32 on average \(2.0e-02 allowed\)", outcome.out, re.M
    )
    assert load(tmp_path / "m.onnx").card.precision == "int8"


def test_scores_of_what_it_costs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.cli.cost.usual_metrics", lambda registry, data, samples: ["fid"])
    monkeypatch.setattr("ganforge.cli.cost.default_extractor", lambda registry: "random-smoke-test")
    cost = ("--precision", "int8", "--force", "--score", "20")
    outcome = done("export", run, "-o", tmp_path / "m.onnx", *cost, *TINY)
    (score,) = load(tmp_path / "m.onnx").card.scores
    assert score.name == "fid_random-smoke-test@20"
    assert score.provenance["precision"] == "int8"
    assert score.value == pytest.approx(score.provenance["fp32"], rel=0.5)
    assert f"{score.name} is {score.value:.4g}, in fp32 {score.provenance['fp32']:.4g}\n" in outcome.out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--inputs", "x"), "option 'export.inputs': input should be 'z' or 'seed', not 'x'"),
        (("--pixels", "x"), "option 'export.pixels': input should be 'float32' or 'uint8', not 'x'"),
        (("--precision", "x"), "option 'export.precision': input should be 'fp32', 'fp16' or 'int8', not 'x'"),
        (("--force",), "there is nothing to force in fp32: it gives what the network gives, or is not written"),
        (
            ("--score", "9"),
            "--score says what fp16 or int8 costs; score an fp32 file with ganforge evaluate",
        ),
    ],
    ids=["inputs", "pixels", "precision", "force", "score"],
)
def test_what_does_not_go_together(run: Path, tmp_path: Path, given: tuple[str, ...], sentence: str) -> None:
    assert refused("export", run, "-o", tmp_path / "m.onnx", *given, *TINY) == sentence
    assert list(tmp_path.iterdir()) == []
