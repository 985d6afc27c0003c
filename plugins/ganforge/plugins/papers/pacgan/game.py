"""The game of PacGAN (Lin et al., arXiv 1712.04086): the discriminator's samples are packs."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from torch import Tensor

from ganforge.core import DataSpec, GanforgeError, distributed
from ganforge.core.config import Config
from ganforge.core.draw import Batch, Draw
from ganforge.core.game import AdversarialGame, Clock, Critique, Duel, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.papers.pacgan import PacOptions
from ganforge.plugins.papers.pacgan.packing import Packed, first, pack, unpack


class PackedDuel(Duel):
    """The duel of a step's packs: reals and fakes [N/m, mC, ...] with one label and one row of randomness each.

    So a loss's targets are one for each pack, and a penalty interpolates, and measures the slope at, whole packs.
    Views see the single samples, as in any game.
    """

    def __init__(self, step: Step, m: int) -> None:
        def real() -> Batch:
            return Batch(pack(step.real.detach(), m), first(step.real_labels, m))

        super().__init__(step, step.critic, real, lambda: pack(step.fake, m))
        self.m = m
        self.draw = replace(step.draw, n=step.draw.n // m)

    @property
    def fake_labels(self) -> Tensor | None:
        return first(self.step.labels, self.m)

    def critique(self, x: Tensor, y: Tensor | None = None, *, view: bool = True, name: str = "other") -> Critique:
        """The critic's opinion of packs x [N/m, mC, ...] with labels y [N/m].

        Raises:
            GanforgeError: x are single samples.
        """
        if x.shape[1] != self.m * self.step.game.data.shape[0]:
            raise GanforgeError(
                f"this discriminator judges packs of {self.m}, and a regularizer showed it single samples: "
                "switch that regularizer off"
            )
        each = None if y is None else y.repeat_interleave(self.m)
        return super().critique(unpack(x, self.m), each, view=view, name=name)


class PackedStep(Step):
    """A move on N samples, latents and labels, judged in packs."""

    def __init__(self, game: AdversarialGame, player: Player, draw: Draw, clock: Clock, m: int) -> None:
        super().__init__(game, player, draw, clock)
        self.packs = PackedDuel(self, m)
        self.duels = [self.packs]

    @cached_property
    def on_real(self) -> Critique:
        return self.packs.on_real

    @cached_property
    def on_fake(self) -> Critique:
        return self.packs.on_fake


class PacGame(AdversarialGame):
    """A generator of samples against a discriminator of packs of m independent samples."""

    def __init__(self, parts: Parts) -> None:
        self.m = parse(PacOptions, parts.config.recipe.values, "recipe").samples
        check(parts.config, self.m)
        judge = parts.build(packed(parts.data, self.m), {}).discriminator
        super().__init__(replace(parts, networks=parts.networks._replace(discriminator=Packed(judge, self.m))))

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        return PackedStep(self, player, draw, clock, self.m)


def packed(data: DataSpec, m: int) -> DataSpec:
    """What a discriminator of packs is built for: m times the channels, or the coordinates."""
    values, *rest = data.shape
    return data.model_copy(update={"shape": (m * values, *rest)})


def check(config: Config, m: int) -> None:
    """Raise GanforgeError unless every piece of a batch is a number of whole packs."""
    pieces = distributed.world() * config.accumulate
    if config.batch_size % (m * pieces):
        among = f" in each of {pieces} pieces" if pieces > 1 else ""
        raise GanforgeError(
            f"option 'batch_size': {config.batch_size} samples do not make whole packs of {m}{among}; "
            f"take a multiple of {m * pieces}"
        )
