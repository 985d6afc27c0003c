"""Games of two tiny networks on given points, for tests that know the answer in closed form."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.core import ArrayData, DataSpec, Latent, Run, resume, train
from ganforge.core.config import Config, parse_settings, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import (
    AdversarialGame,
    Clock,
    Critique,
    Effect,
    Generated,
    LossModule,
    Networks,
    Parts,
    Player,
    Step,
)
from ganforge.core.registry import Registry

ROUNDS = 100


class Critic(nn.Module):
    """Any function of points [N, d] to logits [N]; its parameters are those of the modules given by name."""

    def __init__(self, function: Callable[[Critic, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        return Critique(self.function(self, x))


class Affine(nn.Module):
    """A generator: one linear layer from z to a point."""

    def __init__(self, latent: int, values: int) -> None:
        super().__init__()
        self.layer = nn.Linear(latent, values)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.layer(z))


class Zero(LossModule):
    """No loss, so that a penalty is all a player minimises."""

    def discriminator(self, duel: Any) -> Tensor:
        return torch.zeros(())

    generator = discriminator


def linear_critic(weight: list[float]) -> Critic:
    """D(x) = w·x, whose gradient is w everywhere."""
    layer = nn.Linear(len(weight), 1, bias=False)
    layer.weight.data.copy_(torch.tensor([weight]))
    return Critic(lambda critic, x: critic.layer(x).flatten(), layer=layer)


def mlp_critic(width: int = 8, activation: type[nn.Module] = nn.Softplus) -> Critic:
    torch.manual_seed(3)
    first, second, last = nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, 1)
    body = nn.Sequential(first, activation(), second, activation(), last)
    return Critic(lambda critic, x: critic.body(x).flatten(), body=body)


def make_game(
    critic: nn.Module,
    loss: LossModule | None = None,
    *,
    values: int = 2,
    start: str | None = None,
    **effects: Effect,
) -> AdversarialGame:
    torch.manual_seed(0)
    config = Config.model_validate(
        {key: {"name": "none"} for key in ("recipe", "data", "architecture", "loss")}
        | {"steps": ROUNDS, "latent": Latent(dim=3), "batch_size": 6, "start": start}
    )
    parts = Parts(
        config=config,
        data=DataSpec(shape=(values,)),
        networks=Networks(Affine(3, values), critic),
        loss=loss or Zero(),
        effects=effects,
        device=torch.device("cpu"),
    )
    return AdversarialGame(parts)


def points(n: int, values: int = 2) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, values)).astype(np.float32)


def player(game: AdversarialGame, role: str) -> Player:
    return next(player for player in game.players if player.role == role)


def make_step(
    game: AdversarialGame, role: str = "discriminator", *, round: int = 0, reals: np.ndarray | None = None
) -> Step:
    """A move of one player, on real points [n, d]."""
    samples = points(6, game.data.shape[0]) if reals is None else reals
    stream = Stream(ArrayData(game.data, samples), seed=0)
    mover = player(game, role)
    draw = Draw(0, round, mover.name, 0, len(samples), game.device, stream, round * mover.config.moves)
    return Step(game, mover, draw, Clock(round, ROUNDS, 0))


def move(game: AdversarialGame, role: str = "discriminator", *, round: int = 0) -> Step:
    """One whole move of one player, as the loop does it; returns its step."""
    mover, step = player(game, role), make_step(game, role, round=round)
    objective = game.objective(mover, step.draw, step.clock)
    mover.optimizer.zero_grad()
    objective.loss.backward(inputs=mover.parameters)
    mover.optimizer.step()
    game.after_step(objective.step)
    return objective.step


class Said(NamedTuple):
    """A duel in which the critic has spoken already: all a loss looks at."""

    on_real: Critique
    on_fake: Critique


def said(real: list[float] | Tensor, fake: list[float] | Tensor) -> Any:
    return Said(Critique(torch.as_tensor(real)), Critique(torch.as_tensor(fake)))


# Two distributions over the same three points, as counts out of eight: P = (1, 3, 4) / 8, Q = (4, 2, 2) / 8.
P = torch.tensor([1, 3, 4]) / 8
Q = torch.tensor([4, 2, 2]) / 8
REALS = torch.tensor([0] * 1 + [1] * 3 + [2] * 4)
FAKES = torch.tensor([0] * 4 + [1] * 2 + [2] * 2)


def says(table: Tensor) -> Any:
    """What a critic given as one logit for each of the three points says of P and of Q."""
    return said(table[REALS], table[FAKES])


def resolved(registry: Registry, recipe: str, data: str, *settings: str) -> Config:
    request = parse_settings([f"recipe={recipe}", f"data={data}", "observers=[]", *settings])
    return resolve(request, registry)[0]


def assert_resumes_exactly(registry: Registry, folder: Path, recipe: str, data: str, *settings: str) -> Run:
    """Six rounds, then the last three again from the third's checkpoint: the same state to the last bit."""
    sizes = ["steps=6", "every=3", "log_every=1", "batch_size=8", "samples=4"]
    request = parse_settings([f"recipe={recipe}", f"data={data}", "observers=[]", *sizes, *settings])
    whole = train(request, folder / "whole", registry=registry)
    shutil.copytree(folder / "whole", folder / "again")
    shutil.rmtree(folder / "again" / "checkpoints" / "step-000006")
    again = resume(folder / "again", registry=registry)
    expected, got = whole.game.state_dict(), again.game.state_dict()
    assert expected.keys() == got.keys()
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []
    assert np.array_equal(whole.sample(3, seed=1), again.sample(3, seed=1))
    lines = [json.loads(line) for line in (folder / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert all(math.isfinite(value) for line in lines for value in line.values())
    return again
