"""Scores during a training: when, under which name, and the best checkpoint as a run of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from command import TRAIN_TINY, ganforge

from ganforge.core import GanforgeError, Run, RunObserver, resume, train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

NAME = "score/fid_random-smoke-test@20"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))


def request(**options: Any) -> dict[str, Any]:
    scores = {"every": 2, "metrics": ["fid"], "features": "random-smoke-test", "samples": 20, **options}
    return tiny.request(observers={"scores": scores}, steps=8)


def scores(run: Run, name: str = NAME) -> dict[int, float]:
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()
    return {record["round"]: record[name] for record in map(json.loads, lines) if name in record}


def kept(run: Run) -> dict[str, Any]:
    score: dict[str, Any] = json.loads((run.directory / "best" / "score.json").read_text())
    return score


def told(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.directory / "scores.jsonl").read_text().splitlines()]


def test_scores_are_in_the_records_and_the_best_is_a_run(tmp_path: Path, registry: Registry) -> None:
    run = train(request(), tmp_path / "run", registry=registry)
    found = scores(run)
    assert list(found) == [2, 4, 6, 8]
    best = min(found, key=found.__getitem__)
    expected = {"figure": NAME.removeprefix("score/"), "value": found[best], "round": best}
    assert kept(run) == {**expected, "provenance": told(run)[0]["scores"][NAME]}
    opened = Run.load(tmp_path / "run" / "best", registry=registry)
    assert opened.sample(2).shape == (2, 1, 8, 8)
    assert opened.round == best


def test_the_score_is_what_evaluate_says(tmp_path: Path, registry: Registry) -> None:
    from ganforge.core.config import load_data
    from ganforge.core.evaluate import evaluate
    from ganforge.core.evaluation import Asked, Reference

    run = train(request(), tmp_path / "run", registry=registry)
    reference = Reference(*(load_data(run.config.data, registry, split) for split in ("train", "test")))
    about = {"recipe": "tiny", "config": run.config.digest(), "sampled by": f"torch {torch.__version__}"}
    asked = Asked({"fid": {}}, "random-smoke-test", samples=20, about=about)
    (score,) = evaluate(run.game.averaged_generator.sampler(0), reference, asked, registry)
    assert "score/" + score.name == NAME
    assert score.value == pytest.approx(scores(run)[8], rel=1e-6)
    # Where it comes from is written once, with what real data scores.
    assert told(run) == [{"round": 2, "scores": {NAME: score.provenance}}]
    assert score.provenance["floor"] > 0


@pytest.mark.parametrize(("figure", "choose"), [("coverage", max), ("coverage_k3", max)])
def test_the_figure_that_ranks_can_be_chosen(tmp_path: Path, registry: Registry, figure: str, choose: Any) -> None:
    run = train(request(metrics=["fid", "prdc"], best=figure), tmp_path / "run", registry=registry)
    found = scores(run, "score/coverage_k5_random-smoke-test@20")
    assert kept(run)["value"] == choose(found.values())


class Crash(RunObserver):
    """Kills the run in a round, after that round's record."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step_logged(self, record: Any) -> None:
        if record["round"] == self.at:
            raise KeyboardInterrupt


def test_an_interrupted_run_ends_with_the_same_best(tmp_path: Path, registry: Registry) -> None:
    whole = train(request(), tmp_path / "whole", registry=registry)
    with pytest.raises(KeyboardInterrupt):
        train(request(), tmp_path / "parts", registry=registry, observers=[Crash(7)])
    parts = resume(tmp_path / "parts", registry=registry)
    assert scores(parts) == scores(whole)
    assert kept(parts) == kept(whole)
    assert told(parts) == told(whole)
    first, second = (Run.load(run.directory / "best", registry=registry).game.state_dict() for run in (whole, parts))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_another_library_is_told_from_where_it_was_used(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(request(), tmp_path / "run", registry=registry, observers=[Crash(7)])
    file = tmp_path / "run" / "scores.jsonl"
    file.write_text(file.read_text() + '{"round": 7, "scores": {}}\n{"rou')  # of rounds to come, and cut off
    monkeypatch.setattr("ganforge.core.versions.own_version", lambda: "another")
    run = resume(tmp_path / "run", registry=registry)
    assert [line["round"] for line in told(run)] == [2, 8]
    first, second = (line["scores"][NAME] for line in told(run))
    assert second == {**first, "ganforge": "another"}


def test_a_run_whose_scores_came_without_provenance_goes_on(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(request(), tmp_path / "run", registry=registry, observers=[Crash(7)])
    (tmp_path / "run" / "scores.jsonl").unlink()
    best = tmp_path / "run" / "best" / "score.json"
    best.write_text(json.dumps({"figure": NAME.removeprefix("score/"), "value": 0.0, "round": 2}))
    run = resume(tmp_path / "run", registry=registry)
    assert kept(run)["value"] == 0
    assert [line["round"] for line in told(run)] == [8]


def test_real_data_without_a_score_costs_no_other(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ganforge.core.evaluate import Judge

    asked: list[str] = []
    score = Judge.score

    def picky(judge: Judge, sides: Any) -> Any:
        asked.extend(side.name for side in sides)
        if any(side.real for side in sides):
            raise GanforgeError("metric 'fid' gives no finite fid for these samples")
        return score(judge, sides)

    monkeypatch.setattr(Judge, "score", picky)
    run = train(request(), tmp_path / "run", registry=registry)
    assert list(scores(run)) == [2, 4, 6, 8]
    assert asked.count("real, of the other split") == 1
    assert "floor" not in told(run)[0]["scores"][NAME]
    assert "there is no score of real data beside the generator's: metric 'fid' gives no finite fid" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["fdi"]}, "unknown metric 'fdi'; did you mean 'fid'"),
        ({"features": "inceptoin"}, "unknown extractor 'inceptoin'"),
        ({"samples": 500, "metrics": ["kid"]}, "kid"),
        ({"best": "colour"}, "unknown figure 'colour' in observers.scores.best; there is fid"),
        ({"metrics": ["conditional-accuracy"]}, "needs labelled data"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(
    tmp_path: Path, registry: Registry, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(GanforgeError, match=words):
        train(request(**options), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_the_command_line_scores_and_tells_where_the_best_is(tmp_path: Path) -> None:
    settings = ("observers.scores.samples=20", "observers.scores.features=random-smoke-test")
    asked = [word for setting in settings for word in ("--set", setting)]
    quiet = ("--set", "observers=[]")
    start = TRAIN_TINY.index("observers=[]") - 1
    assert TRAIN_TINY[start : start + 2] == quiet
    arguments = (*TRAIN_TINY[:start], *TRAIN_TINY[start + 2 :])
    done = ganforge(*arguments, *asked, "--steps", "4", "--evaluate-every", "2", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert re.search(r"round 4/4 .*  fid_random-smoke-test@20 [\d.]+", done.err)
    best = kept(Run.load(tmp_path / "run", registry=Registry([tiny.FILE], BUILTIN)))
    assert f"best     {tmp_path / 'run' / 'best'}: {best['figure']} {best['value']:.4g} after round" in done.out
