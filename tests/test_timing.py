"""How long a training takes is found by playing a little of it: at moments all over it, in time that was allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from command import TRAIN_TINY, done, refused

from ganforge.cli.common import parse_budget
from ganforge.core import ArrayData, DataSpec, GanforgeError, rehearsal, rehearse
from ganforge.core.draw import AHEAD, Draw, Stream
from ganforge.core.registry import Registry
from ganforge.core.rehearsal import Rehearsal, Time
from ganforge.plugins.builtin import BUILTIN

# Commands are given no more time than they need; where rounds have a price, time costs nothing.
quick = pytest.mark.usefixtures("impatient")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "SHORTEST", 0.05)


Cost = Callable[[int, int], float]


class Priced(Rehearsal):
    """A rehearsal in which round r of R costs `cost(r, R)` seconds of CPU, on two threads."""

    def __init__(self, cost: Cost, cycle: int = 1, steps: int = 1000, device: str = "cpu") -> None:
        self.cost, self.cycle, self.spent = cost, cycle, 0.0
        self.game: Any = SimpleNamespace(device=torch.device(device), config=SimpleNamespace(steps=steps))

    def _round(self, round_: int, rounds: int) -> None:
        self.spent += self.cost(round_, rounds)

    def _now(self) -> Time:
        return Time(self.spent / 2, self.spent)


def test_equal_rounds_fill_a_budget() -> None:
    priced = Priced(lambda r, of: 0.04)
    pace = priced.within(600)
    assert pace.rounds == 15_000
    assert pace.time == pytest.approx((300, 600))
    assert priced.spent < 600 / 25


def test_a_gpus_budget_is_of_the_clock() -> None:
    assert Priced(lambda r, of: 0.04, device="cuda").within(600).rounds == 30_000


@pytest.mark.parametrize(
    "cost",
    [
        pytest.param(lambda r, of: 0.01 if r < 1000 else 0.04 if r < 2000 else 0.16, id="networks that grow"),
        pytest.param(lambda r, of: 0.01 + 0.1 * min(r / 4000, 1), id="a slow rise"),
        pytest.param(lambda r, of: 0.01 if r < of / 2 else 0.1, id="players that join in half-way"),
        pytest.param(lambda r, of: 0.1 if r < of / 4 else 0.01, id="a dear beginning"),
    ],
)
def test_rounds_of_changing_cost_fill_a_budget(cost: Cost) -> None:
    priced = Priced(cost)
    pace = priced.within(600)
    assert priced.spent < 600 / 5
    assert sum(cost(r, pace.rounds) for r in range(pace.rounds)) == pytest.approx(600, rel=0.1)


def test_lazy_penalties_come_around_as_often_as_they_do() -> None:
    pace = Priced(lambda r, of: 0.01 + (0.07 if r % 7 == 0 else 0), cycle=7).within(100)
    assert pace.rounds == pytest.approx(100 / 0.02, rel=0.05)


def test_slow_rounds_are_timed_in_a_small_part_of_the_budget() -> None:
    """A cycle of 16 rounds takes half of the budget, and the rounds that are played do not wait for it."""
    priced = Priced(lambda r, of: 3.0 if r % 16 == 0 else 2.0, cycle=16)
    pace = priced.within(90)
    assert pace.rounds == pytest.approx(90 / 2.0625, rel=0.1)
    assert priced.spent < 45


def test_a_training_of_a_known_length_is_timed_all_over() -> None:
    pace = Priced(lambda r, of: 0.01 if r < 500 else 0.03, steps=1000).whole()
    assert (pace.rounds, pace.time.cpu) == (1000, pytest.approx(20))


def test_a_budget_without_a_round_is_refused() -> None:
    with pytest.raises(GanforgeError, match=r"a round takes 12 s, and none fits into 10 s: set a smaller batch_size"):
        Priced(lambda r, of: 12.0).within(10)


def test_a_long_round_is_played_once_to_refuse_it() -> None:
    priced = Priced(lambda r, of: 90.0)
    with pytest.raises(GanforgeError, match="a round takes 90 s, and none fits into 60 s"):
        priced.within(60)
    assert priced.spent == 90


@quick
def test_a_real_game_is_played_and_torchs_randomness_left_alone() -> None:
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    before = torch.random.get_rng_state()
    pace = rehearse(tiny.request(steps=3), registry=registry).whole()
    assert pace.rounds == 3
    assert pace.seconds > 0
    assert torch.equal(torch.random.get_rng_state(), before)


class Read(ArrayData):
    """Data that says it has to be read."""

    lazy = True


def test_reading_here_and_there_keeps_little_that_was_read_ahead() -> None:
    stream = Stream(Read(DataSpec(shape=(1, 2, 2)), np.zeros((64, 1, 2, 2), np.uint8)), 0)
    for round_ in range(0, 2000, 20):
        Draw(0, round_, "discriminator", 0, 4, torch.device("cpu"), stream, round_).batch()
    assert len(stream._ahead) == AHEAD


# On the command line.


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("0.5m", 30)])
def test_budgets(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@quick
def test_a_training_fills_a_budget(tmp_path: Path) -> None:
    outcome = done(*TRAIN_TINY, "--budget", "1s", "--out", tmp_path / "run", "--json")
    told = json.loads(outcome.out)
    assert "timing rounds, to see how many fit into 1s" in outcome.err
    config = (tmp_path / "run" / "config.toml").read_text()
    assert f"steps = {told['rounds']}\n" in config
    assert told["rounds"] > 1
    assert told["run"] == str(tmp_path / "run")


@quick
def test_a_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = done(*TRAIN_TINY, "--steps", "50", "--dry-run")
    assert outcome.out.startswith("50 rounds take about 0:0")
    told = json.loads(done(*TRAIN_TINY, "--steps", "50", "--dry-run", "--json").out)
    assert told["rounds"] == 50
    assert told["budget_seconds"] == told["cpu_seconds"]
    assert list(tmp_path.iterdir()) == []


@quick
def test_a_budget_takes_the_place_of_a_files_length(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text("steps = 100000000\n")
    told = json.loads(
        done(*TRAIN_TINY, "--config", tmp_path / "long.toml", "--budget", "0.1s", "--dry-run", "--json").out
    )
    assert told["rounds"] < 100_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--budget", "soon"), "--budget takes a time, as in 90s, 10m or 1h, not 'soon'"),
        (("--budget", "1m", "--steps", "5"), "give one of steps, epochs, images and budget, not budget and steps"),
        (("--budget", "1m", "--batch-size", "0"), "option 'batch_size': "),
    ],
)
def test_a_wrong_budget_is_refused_before_anything_is_timed(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    assert refused(*TRAIN_TINY, *arguments, "--out", tmp_path / "run").startswith(sentence)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_watched_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    wrong = ("--set", 'observers={scores={metrics=["kit"]}}')
    sentence = refused(*TRAIN_TINY, *wrong, "--budget", "1m", "--out", tmp_path / "run")
    assert "'kit'" in sentence
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_timed_for_a_run_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text("")
    assert " exists already" in refused(*TRAIN_TINY, "--budget", "1m", "--out", tmp_path / "run")
