"""A training that starts with another run's networks: what it takes over, what not, and what does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from command import TINY, TRAIN_TINY, done, refused
from safetensors.torch import load_file
from small_games import linear_critic, make_game

from ganforge.core import GanforgeError, Record, Run, RunObserver, resume, train
from ganforge.core.checkpoint import _taken
from ganforge.core.config import read_toml
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


@pytest.fixture(scope="module")
def source(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    wanted = tiny.request(regularizers={"ada": {"p": 0.5}}, generator={"lr": 0.05}, discriminator={"lr": 0.05})
    return train(wanted, tmp_path_factory.mktemp("source") / "run", registry=registry)


class AtTheStart(RunObserver):
    """Keeps the game's state before the first round, and may crash after the first."""

    def __init__(self, crash: bool = False) -> None:
        self.crash = crash

    def check(self, info: Any, game: torch.nn.Module) -> None:
        self.state = {name: value.clone() for name, value in game.state_dict().items()}
        self.optimizers = [len(player.optimizer.state) for player in game.players]

    def step_logged(self, record: Record) -> None:
        if self.crash:
            raise RuntimeError("crash")


def test_it_starts_with_the_networks_and_their_averages(registry: Registry, source: Run, tmp_path: Path) -> None:
    seen = AtTheStart()
    wanted = tiny.request(start=str(source.directory), seed=5, regularizers={"ada": {"p": 0.25}})
    train(wanted, tmp_path / "run", observers=[seen], registry=registry)
    state = source.game.state_dict()
    carried = [name for name in state if name.startswith(("networks.", "ema."))]
    assert len(carried) > 8
    assert [name for name in carried if not torch.equal(state[name], seen.state[name])] == []
    assert not torch.equal(state["ema.generator.last.weight"], state["networks.generator.last.weight"])


def test_tricks_and_optimizers_begin_anew(registry: Registry, source: Run, tmp_path: Path) -> None:
    seen = AtTheStart()
    wanted = tiny.request(start=str(source.directory), regularizers={"ada": {"p": 0.25}})
    train(wanted, tmp_path / "run", observers=[seen], registry=registry)
    assert seen.state["effects.ada.p"] == 0.25
    assert seen.optimizers == [0, 0]


def test_a_tensor_of_the_game_itself_is_not_taken_over() -> None:
    game = make_game(linear_critic([1.0, 2.0]))
    game.register_buffer("count", torch.zeros(()))
    taken = _taken(game, game.state_dict())
    assert "count" not in taken
    assert {name.partition(".")[0] for name in taken} == {"networks", "ema"}


def test_a_run_stands_for_its_last_checkpoint_then(registry: Registry, source: Run, tmp_path: Path) -> None:
    run = train(tiny.request(start=str(source.directory)), tmp_path / "run", registry=registry)
    last = str(source.directory / "checkpoints" / "step-000004")
    assert read_toml(run.directory / "config.toml")["start"] == run.config.start == last


def test_an_earlier_checkpoint_can_be_chosen(registry: Registry, source: Run, tmp_path: Path) -> None:
    seen, earlier = AtTheStart(), source.directory / "checkpoints" / "step-000002"
    train(tiny.request(start=str(earlier)), tmp_path / "run", observers=[seen], registry=registry)
    stored = load_file(earlier / "networks.safetensors")
    assert torch.equal(stored["networks.generator.last.weight"], seen.state["networks.generator.last.weight"])


@pytest.mark.parametrize("last", [0, 2])
def test_it_resumes_to_the_bit(registry: Registry, source: Run, tmp_path: Path, last: int) -> None:
    """From a checkpoint of its own, and from before the first: then from the source's again."""
    whole = train(tiny.request(start=str(source.directory)), tmp_path / "whole", registry=registry)
    shutil.copytree(whole.directory, tmp_path / "again")
    for checkpoint in (tmp_path / "again" / "checkpoints").iterdir():
        if int(checkpoint.name.partition("-")[2]) > last:
            shutil.rmtree(checkpoint)
    again = resume(tmp_path / "again", registry=registry)
    one, two = whole.game.state_dict(), again.game.state_dict()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_it_resumes_from_its_own_checkpoint_without_the_source(registry: Registry, tmp_path: Path) -> None:
    train(tiny.request(), tmp_path / "source", registry=registry)
    run = train(tiny.request(start=str(tmp_path / "source")), tmp_path / "run", registry=registry)
    shutil.rmtree(tmp_path / "source")
    assert resume(run.directory, steps=6, registry=registry).round == 6


def test_networks_of_another_size_are_refused(registry: Registry, source: Run, tmp_path: Path) -> None:
    wanted = tiny.request(start=str(source.directory))
    sentence = r"networks of .* do not fit: networks.generator.first.weight is of shape \[12, 3\] there and of shape"
    with pytest.raises(GanforgeError, match=sentence):
        train({**wanted, "latent": {"dim": 5}}, tmp_path / "run", registry=registry)
    with pytest.raises(GanforgeError, match=r"networks.generator.norm.weight is missing there and of shape \[12\]"):
        train({**wanted, "architecture": {"norm": True}}, tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_what_is_no_start_is_refused(source: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    nowhere = refused(*TRAIN_TINY, "--steps", 2, "--from", tmp_path / "nowhere", "--out", out)
    assert nowhere.endswith("nowhere is neither a run nor a checkpoint of one")
    begun = Path(shutil.copytree(source.directory, tmp_path / "begun"))
    shutil.rmtree(begun / "checkpoints")
    sentence = refused(*TRAIN_TINY, "--steps", 2, "--from", begun, "--out", out)
    assert sentence.endswith("begun has no checkpoint yet; train it first")
    assert not out.exists()


def test_a_damaged_start_is_refused(registry: Registry, source: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(source.directory, tmp_path / "copy"))
    (copy / "checkpoints" / "step-000004" / "networks.safetensors").write_bytes(b"no tensors")
    with pytest.raises(GanforgeError, match=r"option 'start' \(--from\): checkpoint .* is damaged"):
        train(tiny.request(start=str(copy)), tmp_path / "run", registry=registry)


def test_the_flag_reaches_the_config(source: Run, tmp_path: Path) -> None:
    done(*TRAIN_TINY, "--steps", 2, "--from", source.directory, "--out", tmp_path / "run")
    assert Run.load(tmp_path / "run", registry=Registry(files=[Path(TINY[1])], fallback=BUILTIN)).config.start
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["round"] == 2
