"""What unlabelled samples are worth: `sgan`'s classifier beside the same network trained on the labelled few alone.

    python benchmarks/semi_supervised.py [--data digits] [--labelled 100] [--steps 500] [--seeds 0 1 2]

Both see the same labelled pictures (which ones follows from the seed), with the same optimizer, dropout and number of
steps; accuracy is on the held-out split, which neither saw. Runs go to `runs/sgan/`; finished ones are not trained
again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ganforge.core import Run, resume, train
from ganforge.core.config import load_data, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock, Step
from ganforge.core.registry import Registry, default_registry, set_default_registry
from ganforge.core.run import build_game
from ganforge.plugins.builtin import BUILTIN

RUNS = Path("runs/sgan")


def request(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    return {
        "recipe": "sgan",
        "data": {"name": arguments.data, "resolution": arguments.resolution},
        "architecture": {"width": arguments.width},
        "regularizers": {"semi-supervised": {"labelled": arguments.labelled}},
        "seed": seed,
        "steps": arguments.steps,
        "machine": {"device": "cpu", "threads": 1},
        "observers": [],
    }


def with_unlabelled(arguments: argparse.Namespace, seed: int) -> nn.Module:
    """The recipe's discriminator; a run that stopped is taken up."""
    directory = RUNS / f"{arguments.data}-{arguments.labelled}-{arguments.width}-{arguments.steps}-{seed}"
    exists = (directory / "config.toml").exists()
    run: Run = resume(directory) if exists else train(request(arguments, seed), directory)
    return run.game.networks["discriminator"]


def labelled_alone(arguments: argparse.Namespace, seed: int) -> nn.Module:
    """The same network, moved by nothing but the loss on the labelled."""
    config, data = resolve(request(arguments, seed), default_registry())
    game = build_game(config, data.spec, default_registry())
    loss: Any = game.effects["semi-supervised"]
    player, stream = game.players[0], Stream(data, config.seed)
    for round_ in range(config.steps):
        draw = Draw(config.seed, round_, player.name, 0, config.batch_size, game.device, stream, round_)
        torch.manual_seed(draw.key("layers"))
        player.optimizer.zero_grad()
        loss.penalty(Step(game, player, draw, Clock(round_, config.steps, 0))).backward(inputs=player.parameters)
        player.optimizer.step()
    return game.networks["discriminator"]


@torch.no_grad()
def accuracy(critic: nn.Module, arguments: argparse.Namespace) -> float:
    config, _ = resolve(request(arguments, 0), default_registry())
    data = load_data(config.data, default_registry(), "test")
    pixels, labels = data.fetch(np.arange(len(data)))
    images = torch.from_numpy((pixels / 127.5 - 1).astype(np.float32))
    said = torch.cat([critic.eval()(piece).aux["classes"].argmax(dim=1) for piece in images.split(500)])
    return float((said.numpy() == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--labelled", type=int, default=100)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    set_default_registry(Registry(fallback=BUILTIN))
    torch.set_num_threads(1)
    print(f"| seed | {arguments.labelled} labels and the unlabelled | the labels alone |\n|---|---|---|")
    for seed in arguments.seeds:
        scores = (accuracy(make(arguments, seed), arguments) for make in (with_unlabelled, labelled_alone))
        print(f"| {seed} | {' | '.join(f'{score:.1%}' for score in scores)} |", flush=True)


if __name__ == "__main__":
    main()
