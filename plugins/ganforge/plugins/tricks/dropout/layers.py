"""Dropout (Hinton et al., arXiv 1207.0580) before every layer of hidden units, found by looking at the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.modules.conv import _ConvNd

from ganforge.core import GanforgeError
from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks.attaching import networks_of, sketch_critic, sketch_generator
from ganforge.plugins.tricks.dropout import DropoutOptions

Look = Callable[[Callable[[nn.Module], object]], Any]
"""A sketch of a network after something was done to its copy."""


class Dropout(Effect):
    """While a network trains, each input of a linear or convolutional layer is 0 or scaled by 1 / (1 - rate).

    Only hidden units are dropped: a layer that sees the network's own input is left alone. What a layer gets has
    just left an activation (and perhaps its pooling), so this is dropout after each activation, in whatever form an
    architecture writes those; features that a critic returns are whole. Layers that a regularizer later in the order
    adds are not reached. Masks follow the position of the training, each process drawing its own.
    """

    couples_batch = "dropout: drawn by each process"

    def __init__(self, options: DropoutOptions) -> None:
        super().__init__()
        self.rate, self.networks = options.rate, options.networks

    def attach(self, game: Game) -> None:
        looks: dict[str, Look] = {}
        if self.networks != "generator":
            critics = networks_of(game, "discriminator")
            looks |= {name: partial(sketch_critic, game, name, "dropout") for name in critics}
        if self.networks != "discriminator":
            looks["generator"] = partial(sketch_generator, game, "dropout")
        layers: set[nn.Module] = set()  # two networks may share one
        for name, look in looks.items():
            hidden = _hidden_layers(look)
            if not hidden:
                raise GanforgeError(f"regularizer 'dropout': the network '{name}' has no hidden units to drop")
            layers |= {game.networks[name].get_submodule(layer) for layer in hidden}
        for layer in layers:
            layer.register_forward_pre_hook(partial(_drop, self.rate))


def _drop(rate: float, layer: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    return (dropout(args[0], rate, layer.training),)


def _hidden_layers(look: Look) -> set[str]:
    """The layers whose input depends on other such layers: it requires a gradient when only their weights do."""
    hidden: set[str] = set()

    def note(layer_name: str, layer: nn.Module, args: tuple[Tensor]) -> None:
        if args[0].requires_grad:
            hidden.add(layer_name)

    def watch(network: nn.Module) -> None:
        network.requires_grad_(False)
        for layer_name, layer in network.named_modules():
            if isinstance(layer, nn.Linear | _ConvNd):
                layer.requires_grad_(True)
                layer.register_forward_pre_hook(partial(note, layer_name))

    look(watch)
    return hidden
