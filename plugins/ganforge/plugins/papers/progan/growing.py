"""How networks and real images grow (Karras et al., arXiv 1710.10196, section 2, figure 2 and appendix A.1)."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.config import images_per_round
from ganforge.core.draw import Batch
from ganforge.core.game import Clock, Effect, Game, Step
from ganforge.plugins.blocks.growing import FIRST, Stage
from ganforge.plugins.papers.progan import GrowingOptions

log = logging.getLogger("ganforge")


class Growing(Effect):
    """Sets the stage of every network that can grow, and of the real images, from the number of images seen."""

    def __init__(self, options: GrowingOptions) -> None:
        super().__init__()
        self.options = options

    def attach(self, game: Game) -> None:
        stages = {name: [m for m in net.modules() if isinstance(m, Stage)] for name, net in game.networks.items()}
        self.networks = [name for name, found in stages.items() if found]
        if not {"generator", "discriminator"} <= set(self.networks):
            raise GanforgeError(
                f"regularizer 'progressive-growing': architecture '{game.config.architecture.name}' cannot grow; "
                "those of progan and stylegan can"
            )
        self.last = stages["generator"][0].last
        self.first = _level(self.options.start, self.last)
        self.reals = Stage(self.last)
        for name in self.networks:  # before there are averages, which are copies
            game.networks[name].configure(place=float(self.first))  # type: ignore[operator]

    def place(self, images: int) -> float:
        """The stage after so many real images: sizes stay and fade in by turns."""
        phases, within = divmod(images, self.options.stable + self.options.fade)
        alpha = max(0, within - self.options.stable) / self.options.fade
        return min(self.first + phases + alpha, float(self.last))

    def before_round(self, game: Game, clock: Clock) -> None:
        per_round = images_per_round(game.config)
        place, before = self.place(clock.images), self.place(max(0, clock.images - per_round))
        for name in self.networks:
            game.configure(name, place=place)
        self.reals.set(place)
        if self.options.reset and _levels(place) != _levels(before):
            for player in game.players:
                game.reset_optimizer(player.name)
        if clock.round == 0 and (end := self.place(clock.rounds * per_round)) < self.last:
            side, whole = FIRST * 2 ** math.floor(end), FIRST * 2**self.last
            log.warning("this training ends at %d×%d, before it reaches %d×%d", side, side, whole, whole)

    def real(self, batch: Batch, clock: Clock) -> Batch:
        return batch._replace(samples=self.reals.faded(batch.samples))

    def scalars(self, step: Step) -> dict[str, Tensor]:
        return {"stage": torch.tensor(self.place(step.clock.images))}


def _level(side: int, last: int) -> int:
    level = int(math.log2(side / FIRST))
    if FIRST * 2**level != side or level > last:
        raise GanforgeError(
            f"option 'regularizers.progressive-growing.start': must be a power of two up to the data's side "
            f"{FIRST * 2**last}, not {side}"
        )
    return level


def _levels(place: float) -> tuple[int, int]:
    """The levels in use: two while one fades in."""
    return math.floor(place), math.ceil(place)
