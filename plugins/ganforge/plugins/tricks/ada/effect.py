"""How strong the augmentation is (Karras et al., arXiv 2006.06676, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Effect, Game, Step
from ganforge.plugins.blocks.stacks import COLOUR, each_picture
from ganforge.plugins.tricks.ada import AdaOptions, pipeline


class Ada(Effect):
    """Augments with probability p, and moves p so that r_t = E[sign(D(x))] of training images stays at the target.

    r_t is 0 where D cannot tell, which is where the loss's `Reading` says or at 0, and 1 where it has learned the
    training images; D sees them augmented here, too. Every `interval` moves p goes up or down by
    interval · batch / images, never below 0.

    State: `p`; `r`, the last r_t; `signs`, the sum of the mean signs since.
    """

    p: Tensor
    r: Tensor
    signs: Tensor

    def __init__(self, options: AdaOptions) -> None:
        super().__init__()
        self.options, self.channels, self.even = options, COLOUR, 0.0
        self.register_buffer("p", torch.tensor(options.p))
        self.register_buffer("r", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))

    def attach(self, game: Game) -> None:
        if game.data.kind != "images" or game.data.shape[0] not in (1, 3):
            raise GanforgeError(f"regularizer 'ada' augments grey and colour images, not {game.data}; leave it out")
        self.channels = game.data.shape[0]
        if game.reading is None:
            return
        if game.reading.even is None:
            raise GanforgeError(
                f"regularizer 'ada' counts how often D takes images for real, and loss '{game.config.loss.name}' sets "
                "no level for that; choose another loss, or the regularizer diffaugment"
            )
        self.even = game.reading.even

    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        chance, (channels, height, width) = pipeline.Chance(draw, self.p), images.shape[1:]
        moves = [pipeline.blit] * self.options.blit + [pipeline.geometry] * self.options.geometry
        if moves:
            images = pipeline.resample(images, pipeline.product([move(chance, height, width) for move in moves]))
        if self.options.colour:
            matrix = pipeline.colour(chance, min(channels, self.channels))
            images = each_picture(lambda picture: pipeline.recolour(picture, matrix), images, self.channels)
        return images

    def scalars(self, step: Step) -> dict[str, Tensor]:
        return {"p": self.p, "r": self.r} if step.player.role == "discriminator" else {}

    def after_step(self, step: Step) -> None:
        if step.player.role != "discriminator":
            return
        read = step.game.loss.read
        signs = [step.mean((read(duel.on_real.logits) - self.even).sign()).mean() for duel in step.duels]
        self.signs += torch.stack(signs).mean()
        if (step.draw.position + 1) % self.options.interval:
            return
        self.r.copy_(self.signs / self.options.interval)
        self.signs.zero_()
        rate = self.options.interval * step.game.config.batch_size / self.options.images
        self.p.add_(rate * (self.r - self.options.target).sign()).clamp_(min=0)
