"""What tricks share that reach into any recipe's networks in `attach`.

They use hooks, never a wrapper around the network: its class, its methods, its weights' names and what it returns
beside the logits all stay as they were, and so do the copies made for the average and for the file.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ganforge.core import GanforgeError, distributed
from ganforge.core.game import Critique, Game, Generated, Role


def networks_of(game: Game, role: Role) -> list[str]:
    """Names of all networks that the players of a role move, each network once."""
    names = [name for player in game.players if player.role == role for name in player.networks]
    return list({game.networks[name]: name for name in reversed(names)}.values())[::-1]


def sketch(game: Game, name: str, *shape: int, prepare: Callable[[nn.Module], object] | None = None) -> Any:
    """What a network as it is now gives, in shapes alone: nothing is computed, and the network does not change.

    Args:
        shape: of one of its inputs; there are as many as a forward pass gets in training, and labels.
        prepare: done to the copy that is looked at.
    """
    network = copy.deepcopy(game.networks[name]).eval()
    if prepare is not None:
        prepare(network)
    n = game.config.batch_size // (distributed.world() * game.config.accumulate)
    with FakeTensorMode(allow_non_fake_inputs=True):
        labels = torch.zeros(n, dtype=torch.int64) if game.data.classes else None
        return network(torch.zeros(n, *shape), labels)


def sketch_critic(game: Game, name: str, trick: str, prepare: Callable[[nn.Module], object] | None = None) -> Critique:
    """A critic's `sketch`.

    Raises:
        GanforgeError: it is not a critic of samples.
    """
    with _refused(name, trick, "no critic of single samples"):
        return Critique(*sketch(game, name, *game.data.shape, prepare=prepare))


def sketch_generator(game: Game, trick: str, prepare: Callable[[nn.Module], object] | None = None) -> Generated:
    """The generator's `sketch`.

    Raises:
        GanforgeError: it takes no latents, as a translator.
    """
    with _refused("generator", trick, "no generator from latents"):
        return Generated(*sketch(game, "generator", game.latent.width, prepare=prepare))


@contextlib.contextmanager
def _refused(name: str, trick: str, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise GanforgeError(f"regularizer '{trick}': the network '{name}' of this game is {what} ({reason})") from error


def critique_shapes(game: Game, name: str, trick: str) -> tuple[Tensor, Tensor]:
    """A sketched critic's logits and features, one row of features for each of the logits'.

    Raises:
        GanforgeError: it is not a critic of samples, or it gives no features.
    """
    logits, features, _ = sketch_critic(game, name, trick)
    if features is None or len(features) != len(logits):
        raise GanforgeError(
            f"regularizer '{trick}' reads features of the discriminator, and architecture "
            f"'{game.config.architecture.name}' gives none; choose another architecture"
        )
    return logits, features


def add_to_logits(critic: nn.Module, name: str, term: nn.Module) -> None:
    """From now on `term(features)` is added to what the critic says; `term` is its child `name`.

    With `term` linear in some o(features) this is what a final linear layer computes of [features, o(features)].
    """
    critic.add_module(name, term)

    def hook(critic: nn.Module, args: Any, critique: Critique) -> Critique:
        added = critic.get_submodule(name)(critique.features)
        return critique._replace(logits=critique.logits + added.view_as(critique.logits))

    critic.register_forward_hook(hook)
