"""Every recipe with every conditioning of its two networks: one round each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ganforge.cli.contract.recipe import HOLDS, Outcome, request
from ganforge.core import GanforgeError
from ganforge.core.config import UNCONDITIONED, resolve
from ganforge.core.draw import Stream
from ganforge.core.game import Clock
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.core.words import Role


def ways(registry: Registry, player: Role) -> list[str]:
    """The conditionings there are for a player's network, none first."""
    return [UNCONDITIONED, *(name for name, spec in registry.all("conditioning").items() if getattr(spec, player))]


def check(recipe: str, registry: Registry, data: Mapping[str, Any]) -> Iterator[tuple[str, str, Outcome]]:
    """Each pair of conditionings, generator's first, and whether a round with it is finite."""
    for generator in ways(registry, "generator"):
        for discriminator in ways(registry, "discriminator"):
            yield generator, discriminator, _round(recipe, registry, data, generator, discriminator)


def _round(recipe: str, registry: Registry, data: Mapping[str, Any], generator: str, discriminator: str) -> Outcome:
    wanted = {
        "generator": {"conditioning": generator},
        "discriminator": {"conditioning": discriminator},
    }
    try:
        config, loaded = resolve(request(recipe, registry, data, **wanted), registry)
        game = build_game(config, loaded.spec, registry)
        with torch.random.fork_rng():
            play_round(game, Stream(loaded, config.seed), Clock(0, config.steps, 0))
    except GanforgeError as error:
        # A plugin that raised anything else has an error with a cause: that is a bug and not a reason.
        return Outcome("fails" if error.__cause__ else "exempt", str(error))
    except Exception as error:  # whatever goes wrong in a plugin's code is the finding
        return Outcome("fails", f"{type(error).__name__}: {error}".splitlines()[0])
    finite = all(bool(torch.isfinite(value).all()) for value in game.state_dict().values())
    return HOLDS if finite else Outcome("fails", "a weight is not finite after one round")
