"""The game of CycleGAN (Zhu et al., arXiv 1703.10593, section 3): two translators, two duels, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.core import distributed
from ganforge.core.draw import Batch, Draw
from ganforge.core.game import Clock, Duel, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.blocks.translation import TranslationGame, TranslationStep, distance
from ganforge.plugins.papers.cyclegan import CycleOptions
from ganforge.plugins.papers.cyclegan.history import Held, History, plan


class CycleStep(TranslationStep):
    """The duel over the second domain, B against G(A), and the one over the first, A against F(B)."""

    game: CycleGame

    def __init__(self, game: CycleGame, player: Player, draw: Draw, clock: Clock) -> None:
        super().__init__(game, player, draw, clock)
        self.held: dict[str, Held] = {}
        self.duels.append(Duel(self, game.BACK_CRITIC, lambda: Batch(self.source(0), None), self._make_back))

    @cached_property
    def returned(self) -> Tensor:
        """F(B)."""
        return self.translate(self.game.BACK, self.source(1))

    def translate(self, network: str, pictures: Tensor) -> Tensor:
        """Pictures [N, C, H, W] in the other domain, float32."""
        images: Tensor = self.call(network, pictures).images
        return images.float()

    def _make_fake(self) -> Tensor:
        return self._remembered(self.critic, super()._make_fake())

    def _make_back(self) -> Tensor:
        with torch.set_grad_enabled(self.player.role == "generator"):
            images = self.returned
        return self._remembered(self.game.BACK_CRITIC, images)

    def _remembered(self, critic: str, fakes: Tensor) -> Tensor:
        """What a discriminator sees in the place of new fakes: all processes remember the same, in the same slots."""
        if self.player.role == "generator":
            return fakes
        history = cast(History, self.game.histories[critic])
        everyone = self.gather(fakes.detach())
        random = np.random.Generator(np.random.PCG64(self.draw.key(f"history/{critic}")))
        slots = plan(self.draw.position * len(everyone), len(everyone), len(history.images), random)
        shown, self.held[critic] = history.swap(everyone, slots)
        start = distributed.rank() * len(fakes)
        return shown[start : start + len(fakes)].detach().requires_grad_()


class CycleGame(TranslationGame):
    """G and F move together, and so do their discriminators."""

    BACK, BACK_CRITIC = "generator-back", "discriminator-back"
    averaged = ("generator", BACK)
    sources: Mapping[str, int] = {"generator": 0, BACK: 1}

    def __init__(self, parts: Parts) -> None:
        self.options = parse(CycleOptions, parts.config.recipe.values, "recipe")
        self._build = parts.build
        super().__init__(parts)

    def make_players(self) -> list[Player]:
        back = self._build(self.data, {})
        self.networks.update({self.BACK: back.generator, self.BACK_CRITIC: back.discriminator})
        players = super().make_players()
        for player in players:
            player.networks.append(self.BACK if player.role == "generator" else self.BACK_CRITIC)
        critics = ("discriminator", self.BACK_CRITIC)
        self.histories = nn.ModuleDict({name: History(self.options.history, self.data.shape) for name in critics})
        return players

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> CycleStep:
        return CycleStep(self, player, draw, clock)

    def player_loss(self, step: Step) -> Tensor:
        """The generators': equation 3, and the identity loss of section 5.2 where it is wanted."""
        loss = super().player_loss(step)
        if step.player.role == "discriminator":
            return loss
        assert isinstance(step, CycleStep)
        cycle, identity = self.options.cycle, self.options.cycle * self.options.identity
        step.terms["cycle"] = self.cycle(step)
        loss = loss + cycle * step.terms["cycle"]
        if identity:
            step.terms["identity"] = self.identity(step)
            loss = loss + identity * step.terms["identity"]
        return loss

    def cycle(self, step: CycleStep) -> Tensor:
        """Equation 2: |F(G(a)) - a| + |G(F(b)) - b|."""
        there_and_back = step.translate(self.BACK, step.generated.images)
        back_and_there = step.translate("generator", step.returned)
        return distance(there_and_back, step.source(0)) + distance(back_and_there, step.source(1))

    def identity(self, step: CycleStep) -> Tensor:
        """|G(b) - b| + |F(a) - a|."""
        first, second = step.source(0), step.source(1)
        stays = step.translate(self.BACK, first), step.translate("generator", second)
        return distance(stays[0], first) + distance(stays[1], second)

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        super().after_step(step)
        assert isinstance(step, CycleStep)
        for critic, held in step.held.items():
            cast(History, self.histories[critic]).store(held)

    def preview(
        self, latents: np.ndarray, labels: np.ndarray | None = None, *, truncation: float | None = None
    ) -> np.ndarray:
        """For each input A, G(A), F(G(A)) in a row, and below B, F(B), G(F(B)): float32 [n, C, 2 H, 3 W]."""
        rows = []
        for first, second in (("generator", self.BACK), (self.BACK, "generator")):
            pictures = self.given(latents, first)
            there = self.translate(pictures, first)
            rows.append(np.concatenate([pictures, there, self.translate(there, second)], axis=3))
        return np.concatenate(rows, axis=2)
