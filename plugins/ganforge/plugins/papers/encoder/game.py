"""The game of one player: an encoder, for a generator that does not move."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganforge.core import GanforgeError
from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Export, Objective, Parts, Player
from ganforge.core.options import parse
from ganforge.plugins.blocks.inversion import Encoder, InvertingGame, squared
from ganforge.plugins.papers.encoder import EncoderOptions


class EncoderGame(InvertingGame):
    """E minimises α E_z ‖E(G(z)) - z‖² + β E_x ‖G(E(x)) - x‖², means over numbers, with G in eval mode.

    G is the other run's average. Its discriminator and regularizers are only there while the networks are built, which
    some of them change.
    """

    taken = ("generator",)

    def __init__(self, parts: Parts) -> None:
        self.options = parse(EncoderOptions, parts.config.recipe.values, "recipe")
        if parts.config.start is None:
            raise GanforgeError("recipe 'encoder' inverts another run's generator: name it with --set recipe.of=RUN")
        super().__init__(parts)
        self.players = self.players[-1:]
        self.effects = nn.ModuleDict()
        for name in [name for name in self.networks if name not in self.averaged]:
            del self.networks[name]
        self.networks["generator"].requires_grad_(False)

    def make_players(self) -> list[Player]:
        self.networks["encoder"] = Encoder(self.data, self.latent.width, self.options.width)
        return [*super().make_players(), Player("encoder", "generator", ["encoder"], self.options.encoder)]

    def before_round(self, clock: Clock) -> None:
        super().before_round(clock)
        if clock.round == 0:  # from here on, averaging leaves it as it is
            self.networks["generator"].load_state_dict(self.ema["generator"].state_dict())
        self.networks["generator"].eval()

    def objective(self, player: Player, draw: Draw, clock: Clock) -> Objective:
        step = self.make_step(player, draw, clock)
        x = step.real.detach()
        with torch.no_grad():
            made = step.generated.images
        of_made, of_real = step.call("encoder", torch.cat([made, x])).float().split(len(x))
        again: Tensor = step.call("generator", of_real, step.real_labels).images
        on_latents, on_pixels = squared(of_made, step.latent).mean(), squared(again, x).mean()
        loss = self.options.latent * on_latents + self.options.pixels * on_pixels
        scalars = {"loss/encoder": loss, "encoder/latents": on_latents, "encoder/pixels": on_pixels}
        return Objective(loss, step, {name: figure.detach() for name, figure in scalars.items()})

    @property
    def labelled(self) -> bool:
        return any(export.labelled for export in super().exports().values())

    def exports(self) -> Mapping[str, Export]:
        """None: the generator is the other run's to export, and files make samples, not latents."""
        return {}
