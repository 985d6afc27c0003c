"""The game of pix2pix (Isola et al., arXiv 1611.07004, section 3.1): a discriminator of pairs, and L1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ganforge.core.draw import Batch, Draw
from ganforge.core.game import Clock, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.blocks.translation import TranslationGame, TranslationStep, distance
from ganforge.plugins.papers.pix2pix import PairOptions


class PairStep(TranslationStep):
    """The duel over pairs [N, 2 C, H, W]: an original beside its counterpart, and beside its translation.

    So views change both pictures of a pair alike.
    """

    def __init__(self, game: PairGame, player: Player, draw: Draw, clock: Clock) -> None:
        super().__init__(game, player, draw, clock)
        self._real = lambda: Batch(self.both.detach(), None)

    def _make_fake(self) -> Tensor:
        pair = torch.cat([self.latent, super()._make_fake()], dim=1)
        return pair if self.player.role == "generator" else pair.detach().requires_grad_()


class PairGame(TranslationGame):
    """One translator, and a discriminator that sees what was translated beside the translation (equation 1)."""

    def __init__(self, parts: Parts) -> None:
        self.options = parse(PairOptions, parts.config.recipe.values, "recipe")
        pairs = parts.data.model_copy(update={"shape": parts.data.stacked})
        judge = parts.build(pairs, {}).discriminator
        super().__init__(replace(parts, networks=parts.networks._replace(discriminator=judge)))

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> PairStep:
        return PairStep(self, player, draw, clock)

    def player_loss(self, step: Step) -> Tensor:
        """The generator's: equation 4."""
        loss = super().player_loss(step)
        if step.player.role == "discriminator":
            return loss
        assert isinstance(step, PairStep)
        step.terms["l1"] = distance(step.generated.images, step.source(1))  # equation 3
        return loss + self.options.l1 * step.terms["l1"]

    def preview(
        self, latents: np.ndarray, labels: np.ndarray | None = None, *, truncation: float | None = None
    ) -> np.ndarray:
        """For each input the original, its translation and its counterpart in a row: float32 [n, C, H, 3 W]."""
        parts = [self.given(latents), self.sample(latents), self.data.domain(latents, 1)]
        return np.concatenate(parts, axis=3)
