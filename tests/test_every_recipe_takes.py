"""Tricks that are settings of every recipe: smoothed and flipped labels, annealed noise, two rates, several moves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_games import resolved

from ganforge.core import train
from ganforge.core.config import parse_settings
from ganforge.core.registry import Registry

WIDTH = "architecture.width=4"
RECIPES = [
    ("vanilla", "ring"),
    ("dcgan", "digits", WIDTH),
    ("lsgan", "ring"),
    ("wgan", "ring"),
    ("wgan-gp", "ring"),
    ("sngan", "digits", WIDTH),
]
SMALL = ("batch_size=6", "steps=4", "every=4", "log_every=1", "samples=4", "observers=[]", "machine.threads=1")


def request(recipe: tuple[str, ...], *settings: str) -> dict[str, object]:
    name, data, *rest = recipe
    return parse_settings([f"recipe={name}", f"data={data}", *rest, *SMALL, *settings])


@pytest.mark.parametrize("recipe", RECIPES, ids=" ".join)
def test_players_have_their_own_rates_and_moves(registry: Registry, tmp_path: Path, recipe: tuple[str, ...]) -> None:
    settings = ("generator.lr=1e-3", "discriminator.lr=4e-3", "generator.moves=3", "discriminator.moves=2")
    flat = ("generator.lr_decay=none", "discriminator.lr_decay=none")
    run = train(request(recipe, *settings, *flat), tmp_path / "run", registry=registry)
    for player in run.game.players:
        rate, moves = (1e-3, 3) if player.role == "generator" else (4e-3, 2)
        assert player.optimizer.param_groups[0]["lr"] == rate
        taken = {int(state["step"]) for state in player.optimizer.state.values()}
        assert taken == {4 * moves}


@pytest.mark.parametrize("recipe", RECIPES, ids=" ".join)
def test_noise_and_labels_together_train(registry: Registry, tmp_path: Path, recipe: tuple[str, ...]) -> None:
    settings = (
        "loss=non-saturating",
        "loss.smoothing=random",
        "loss.flip=0.1",
        "regularizers.instance-noise.until=0.5",
    )
    run = train(request(recipe, *settings), tmp_path / "run", registry=registry)
    assert run.config.loss.values == {"smoothing": "random", "flip": 0.1}
    assert run.config.regularizers["instance-noise"] == {"sigma": 0.1, "until": 0.5}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss/discriminator"] > 0 for line in lines] == [True] * 4


def test_one_setting_is_enough(registry: Registry) -> None:
    assert resolved(registry, "dcgan", "digits", "loss.smoothing=one-sided").loss.values["smoothing"] == "one-sided"
    assert resolved(registry, "dcgan", "digits", "regularizers.instance-noise=true").regularizers == {
        "instance-noise": {"sigma": 0.1, "until": 1.0}
    }
    sngan = resolved(registry, "sngan", "digits", "regularizers.minibatch-stddev=true").regularizers
    assert list(sngan) == ["spectral-norm", "minibatch-stddev"]
