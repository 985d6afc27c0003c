"""The game of SRGAN (Ledig et al., arXiv 1609.04802, section 2): G enlarges what was a real picture."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Objective, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.core.pictures import from_pixels, to_pixels
from ganforge.plugins.blocks.translation import PictureGame
from ganforge.plugins.papers.srgan import SrganOptions
from ganforge.plugins.papers.srgan.features import Features, features_of


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Images [N, C, r·h, r·w] to [N, C, h, w], bicubic and anti-aliased, in [-1, 1]."""
    return interpolate(images, scale_factor=1 / factor, mode="bicubic", antialias=True).clamp(-1, 1)


def bicubic(small: Tensor, factor: int) -> Tensor:
    """Images [N, C, h, w] to [N, C, r·h, r·w]: what super-resolution is compared with."""
    return interpolate(small, scale_factor=factor, mode="bicubic").clamp(-1, 1)


class EnlargingStep(Step):
    """A move in which the generator is given the move's real pictures, made small, and their labels."""

    game: SrganGame

    @cached_property
    def latent(self) -> Tensor:
        return shrunk(self.real.detach(), self.game.factor)

    @cached_property
    def labels(self) -> Tensor | None:
        return self.real_labels


class SrganGame(PictureGame):
    """Up to the end of the warm-up, G alone on pixels (equation 4); then equation 3: content and the critic."""

    def __init__(self, parts: Parts) -> None:
        self.options = parse(SrganOptions, parts.config.recipe.values, "recipe")
        self.factor: int = self.options.factor
        super().__init__(parts, self.factor)

    def warms_up(self, clock: Clock) -> bool:
        """Whether this is a round of pixels alone."""
        return clock.round < round(self.options.warmup * clock.rounds)

    def moving(self, clock: Clock) -> list[Player]:
        return [player for player in self.players if player.role == "generator" or not self.warms_up(clock)]

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> EnlargingStep:
        return EnlargingStep(self, player, draw, clock)

    def objective(self, player: Player, draw: Draw, clock: Clock) -> Objective:
        if not self.warms_up(clock):
            return super().objective(player, draw, clock)
        step = self.make_step(player, draw, clock)
        loss = mse_loss(step.generated.images, step.real.detach())
        return Objective(loss, step, {f"loss/{player.name}": loss.detach()})

    def player_loss(self, step: Step) -> Tensor:
        """The generator's: l_X + 10⁻³ l_Gen (equation 3), with l_X the errors of pixels and of features."""
        loss = super().player_loss(step)
        if step.player.role == "discriminator":
            return loss
        fake, real = step.fake, step.real.detach()
        loss = self.options.adversarial * loss + self.options.pixels * mse_loss(fake, real)
        if self.options.content:
            loss = loss + self.options.content * mse_loss(self.features(fake), self.features(real))
        return loss

    @cached_property
    def features(self) -> Features:
        """φ, made when a loss first needs it: sampling and export do without the data it may be built from."""
        return features_of(self.options, self.config, self.device)

    def given(self, inputs: np.ndarray, network: str = "generator") -> np.ndarray:
        """Pictures [n, C, r·h, r·w] made small, in whole levels as a file of pictures has them: [n, C, h, w]."""
        return from_pixels(to_pixels(shrunk(torch.from_numpy(inputs), self.factor).numpy()))

    def preview(
        self, latents: np.ndarray, labels: np.ndarray | None = None, *, truncation: float | None = None
    ) -> np.ndarray:
        """For each input small, bicubic, enlarged and real in a row: float32 [n, C, r·h, 4 r·w]."""
        small = torch.from_numpy(self.given(latents))
        peers = [interpolate(small, scale_factor=self.factor), bicubic(small, self.factor)]
        return np.concatenate([*(one.numpy() for one in peers), self.sample(latents), latents], axis=3)
