"""Changing networks that are built already, of any architecture: every layer of a kind, in `Effect.attach`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from ganforge.core import GanforgeError
from ganforge.core.game import Game, Role

REPLACES = -2
"""`attach_order` of effects that put new layers in the place of others: spectral norm and its like come after."""

INITIALISES = -1
"""`attach_order` of effects that draw weights anew: after the layers, before what looks at the weights."""


class Search(NamedTuple):
    """Who looks for which layers: the regularizer, the players whose networks are meant, the layers in words."""

    regularizer: str
    networks: Literal["generator", "discriminator", "both"]
    what: str
    wanted: Callable[[nn.Module], bool]


def find(game: Game, search: Search) -> list[Any]:
    """The layers wanted, each once, in every network that the chosen players move.

    Raises:
        GanforgeError: a chosen player has none, or one has a weight that is computed from others.
    """
    roles: tuple[Role, ...] = ("generator", "discriminator") if search.networks == "both" else (search.networks,)
    found: dict[nn.Module, None] = {}
    for role in roles:
        names = [name for player in game.players if player.role == role for name in player.networks]
        networks = nn.ModuleList(game.networks[name] for name in names)
        layers = [layer for layer in networks.modules() if search.wanted(layer)]
        if not layers:
            raise GanforgeError(f"regularizer '{search.regularizer}': the {role} has no {search.what}{_advice(search)}")
        found |= dict.fromkeys(layers)
    if any(is_parametrized(layer) for layer in found):
        raise GanforgeError(
            f"regularizer '{search.regularizer}': a {search.what} has a weight computed from another (a "
            "parametrization), which would be lost; build the network without it"
        )
    return list(found)


def replace(game: Game, search: Search, change: Callable[[Any], nn.Module]) -> None:
    """Put `change(layer)` in the place of every layer wanted; a layer in two places stays one layer.

    Raises:
        GanforgeError: as `find`.
    """
    fresh = {layer: change(layer) for layer in find(game, search)}
    for parent in game.networks.modules():
        for name, child in parent._modules.items():
            if child in fresh:
                setattr(parent, name, fresh[child])


def _advice(search: Search) -> str:
    if search.networks != "both":
        return ""
    return f"; set regularizers.{search.regularizer}.networks to the network that has"
