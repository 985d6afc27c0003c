"""How tensors lie in memory: the fused optimizers walk a parameter, its gradient and its moments side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ganforge.core.config import merge, resolve
from ganforge.core.draw import Stream
from ganforge.core.game import Clock, Game
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry
from ganforge.core.run import build_game


def played(registry: Registry, recipe: str, **settings: Any) -> Game:
    """A game after its first round, on digits."""
    small = registry.find("recipe", recipe).small
    request = {"recipe": recipe, "data": "digits", "steps": 2, "batch_size": 8, "machine": {"device": "cpu"}}
    config, data = resolve(merge(merge(request, small), settings), registry)
    game = build_game(config, data.spec, registry)
    stream = Stream(data, config.seed, channels_last=config.machine.channels_last)
    play_round(game, stream, Clock(0, config.steps, 0))
    return game


def layout(tensor: torch.Tensor) -> tuple[tuple[int, int], ...]:
    """Sizes and strides; of an axis of one the stride means nothing."""
    return tuple(pair for pair in zip(tensor.shape, tensor.stride(), strict=True) if pair[0] > 1)


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("dcgan", {}),
        ("dcgan", {"accumulate": 2}),
        ("dcgan", {"machine": {"precision": "bf16"}}),
        ("wgan-gp", {"discriminator": {"moves": 1}}),
        ("sngan-resnet", {"discriminator": {"moves": 1}}),
        ("r3gan", {}),
    ],
    ids=str,
)
def test_a_gradient_and_its_moments_lie_as_the_parameter_does(
    registry: Registry, recipe: str, settings: dict[str, Any]
) -> None:
    game = played(registry, recipe, **settings)
    layouts = set()
    for player in game.players:
        for parameter in player.parameters:
            moments = [value for value in player.optimizer.state[parameter].values() if value.ndim]
            if parameter.grad is not None and moments:
                assert {layout(tensor) for tensor in (parameter.grad, *moments)} == {layout(parameter)}
                layouts.add(parameter.is_contiguous())
    assert layouts == {True, False}  # biases and linear maps, and convolutions whose channels come last


def test_the_layout_does_not_change_what_is_learned(registry: Registry) -> None:
    last, first = (
        played(registry, "dcgan", machine={"channels_last": channels_last}).networks.state_dict()
        for channels_last in (True, False)
    )
    for name, value in last.items():
        torch.testing.assert_close(value.contiguous(), first[name], rtol=1e-3, atol=1e-4)
