"""The game of BiGAN (Donahue et al., arXiv 1605.09782, section 3): the critic judges pairs."""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor

from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Critique, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.blocks.inversion import Encoder, InvertingGame
from ganforge.plugins.papers.bigan import BiganOptions
from ganforge.plugins.papers.bigan.networks import JointCritic


class PairStep(Step):
    """A move in which real samples come with their codes E(x), and generated ones with the latents they are from."""

    @cached_property
    def code(self) -> Tensor:
        """E(x) of the move's real samples, [N, latent]."""
        return self.encode(self.real.detach())

    def encode(self, x: Tensor) -> Tensor:
        """E(x); only the player that moves E gets a gradient there."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.player.role == "generator"):
            code: Tensor = self.call("encoder", x)
        return code.float()

    def critique(self, x: Tensor, y: Tensor | None = None, *, view: bool = True, name: str = "other") -> Critique:
        """D(x, z), with z the code of the move's own samples or else E(x)."""
        z = self.code if name == "real" else self.latent if name == "fake" else self.encode(x.detach())
        shown = self.game.view(x, self, name) if view else x
        critique: Critique = self.call(self.critic, shown, y, z)
        return critique._replace(logits=critique.logits.float())


class BiganGame(InvertingGame):
    """V(D, E, G) = E_x log D(x, E(x)) + E_z log(1 - D(G(z), z)), equation 2: max over D, min over E and G.

    E moves with G, as one player. Both minimise the inverse objective (section 3.4): D's loss with the pairs' sides
    exchanged, which has the same fixed point, and a gradient while D wins.
    """

    def __init__(self, parts: Parts) -> None:
        self.options = parse(BiganOptions, parts.config.recipe.values, "recipe")
        super().__init__(parts)

    def make_players(self) -> list[Player]:
        critic, latent = self.networks["discriminator"], self.latent.width
        self.networks["discriminator"] = JointCritic(critic, self.data, latent, self.options.joint)
        self.networks["encoder"] = Encoder(self.data, latent, self.options.encoder)
        players = super().make_players()
        next(player for player in players if player.role == "generator").networks.append("encoder")
        return players

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        return PairStep(self, player, draw, clock)

    def player_loss(self, step: Step) -> Tensor:
        if step.player.role == "discriminator":
            return super().player_loss(step)
        exchanged = copy.copy(step)
        exchanged.on_real, exchanged.on_fake = step.on_fake, step.on_real
        return self.loss.discriminator(exchanged)
