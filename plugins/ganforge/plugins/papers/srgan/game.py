"""The game of SRGAN (Ledig et al., arXiv 1609.04802, section 2): G enlarges what was a real picture."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from ganforge.core import GanforgeError
from ganforge.core.data import Data
from ganforge.core.draw import Draw
from ganforge.core.game import AdversarialGame, Clock, Objective, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.blocks.showing import first_images
from ganforge.plugins.papers.srgan import SrganOptions, small_shape
from ganforge.plugins.papers.srgan.features import Features, features_of


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Images [N, C, r·h, r·w] to [N, C, h, w], bicubic and anti-aliased, in [-1, 1]."""
    return interpolate(images, scale_factor=1 / factor, mode="bicubic", antialias=True).clamp(-1, 1)


def bicubic(small: Tensor, factor: int) -> Tensor:
    """Images [N, C, h, w] to [N, C, r·h, r·w]: what super-resolution is compared with."""
    return interpolate(small, scale_factor=factor, mode="bicubic").clamp(-1, 1)


class EnlargingStep(Step):
    """A move in which the generator's latents are the move's real pictures, made small."""

    factor: int

    @cached_property
    def latent(self) -> Tensor:
        return shrunk(self.real.detach(), self.factor).flatten(1)


class SrganGame(AdversarialGame):
    """Up to the end of the warm-up, G alone on pixels (equation 4); then equation 3: content and the critic."""

    def __init__(self, parts: Parts) -> None:
        self.options = parse(SrganOptions, parts.config.recipe.values, "recipe")
        self.factor: int = parts.config.architecture.values.get("factor", 0)
        if parts.config.architecture.name != "srresnet" or self.factor != self.options.factor:
            raise GanforgeError(
                "recipe 'srgan' enlarges with architecture 'srresnet' by its own factor: set recipe.factor, and leave "
                "architecture.factor out"
            )
        self.small = small_shape(parts.data, self.factor)
        if parts.config.latent.width != math.prod(self.small):
            raise GanforgeError("recipe 'srgan' has the small picture as its latent: leave the options of latent out")
        super().__init__(parts)

    def warms_up(self, clock: Clock) -> bool:
        """Whether this is a round of pixels alone."""
        return clock.round < round(self.options.warmup * clock.rounds)

    def moving(self, clock: Clock) -> list[Player]:
        return [player for player in self.players if player.role == "generator" or not self.warms_up(clock)]

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        step = EnlargingStep(self, player, draw, clock)
        step.factor = self.factor
        return step

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

    @torch.no_grad()
    def enlarge(self, small: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [N, C, h, w] to [N, C, r·h, r·w] by the averaged generator."""
        images: Tensor = self.ema["generator"](small.flatten(1), labels).images
        return images.float()

    def pictured(
        self, latents: np.ndarray, labels: np.ndarray | None, data: Data
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows of small, bicubic, enlarged and real pictures, in turn; what is left over is more enlarged ones."""
        columns = max(4, math.ceil(math.sqrt(len(latents))))
        x, y = first_images(data, columns * columns, self.device)
        small = shrunk(x, self.factor)
        made = self.enlarge(small, y if self.labelled else None)
        kinds = [interpolate(small, scale_factor=self.factor), bicubic(small, self.factor), made, x]
        groups = columns // 4
        rows = torch.stack([kind[: groups * columns].unflatten(0, (groups, columns)) for kind in kinds], dim=1)
        shown = torch.cat([rows.flatten(0, 2), made[4 * groups * columns :]])
        return shown.cpu().numpy(), None
