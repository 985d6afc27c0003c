"""The lower layers of a discriminator of any architecture, held as they are (Mo, Cho and Shin, arXiv 2002.10964)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

from ganforge.core import GanforgeError
from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks.attaching import networks_of, sketch_critic
from ganforge.plugins.blocks.surgery import INITIALISES
from ganforge.plugins.tricks.freeze import FreezeOptions


class Freeze(Effect):
    """In each critic the first convolutions and linear layers do not learn, nor any parameter that comes before the
    next one: θ_D stays at the source's in the lower layers, and gradients pass through them to G.

    Layers are counted in the order in which they are computed, those of a residual block's shortcut too; the paper
    counts its blocks. Only parameters are held: batch norm goes on with the statistics of the batch, and a spectral
    norm with its estimate.
    """

    attach_order = INITIALISES
    """After new layers are in the place of others, before a network is adopted that judges no images."""

    def __init__(self, options: FreezeOptions) -> None:
        super().__init__()
        self.layers = options.layers

    def attach(self, game: Game) -> None:
        if game.config.start is None:
            raise GanforgeError("regularizer 'freeze' holds layers of another run: name that with --from RUN")
        for name in networks_of(game, "discriminator"):
            layers = [game.networks[name].get_submodule(layer) for layer in computed(game, name)]
            weights = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear | _ConvNd)]
            if len(weights) <= self.layers:
                raise GanforgeError(
                    f"option 'regularizers.freeze.layers': the network '{name}' has {len(weights)} layers, and one at "
                    f"least must learn; hold {len(weights) - 1} at most"
                )
            for layer in layers[: weights[self.layers]]:
                for parameter in own_parameters(layer):
                    parameter.requires_grad_(False)


def computed(game: Game, name: str) -> list[str]:
    """The modules of a critic that have parameters of their own, in the order in which they are done with an image.

    Raises:
        GanforgeError: it is not a critic of single samples.
    """
    order: dict[str, None] = {}

    def note(layer: str, module: nn.Module, args: Any, output: Any) -> None:
        order.setdefault(layer)

    def watch(network: nn.Module) -> None:
        for layer, module in network.named_modules():
            if "parametrizations" not in layer and any(True for _ in own_parameters(module)):
                module.register_forward_hook(partial(note, layer))

    sketch_critic(game, name, "freeze", watch)
    return list(order)


def own_parameters(module: nn.Module) -> Iterator[Tensor]:
    """A module's parameters without its children's; those its weight is computed from are its own."""
    yield from module.parameters(recurse=False)
    if is_parametrized(module):
        yield from module.get_submodule("parametrizations").parameters()
