"""How long a training takes here, from rounds that are played at several of its moments and forgotten.

Several, because a round need not always cost the same: networks grow, players join in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

import torch

from ganforge.core import distributed
from ganforge.core.config import images_per_round
from ganforge.core.draw import Stream
from ganforge.core.errors import GanforgeError
from ganforge.core.game import Clock, Game
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry, default_registry
from ganforge.core.run import begin

FEWEST, MOST = 4, 16
"""Moments of a training at which rounds are timed, fewer where they are slow; what passes between two may be missed."""

SHARE, SHORTEST, LONGEST = 1 / 50, 2.0, 20.0
"""What timing takes: a share of the training, within seconds that are more than noise and less than patience."""

CLOSE, TRIES = 0.1, 6
"""How near to a budget the time of a training must be found, and how often it is looked for."""


class Time(NamedTuple):
    """Seconds on the clock, and of CPU over all threads of this process."""

    clock: float
    cpu: float


class Pace(NamedTuple):
    """How long a training of `rounds` takes, without what observers do; on a GPU, only `clock` says so."""

    rounds: int
    time: Time
    device: str

    @property
    def seconds(self) -> float:
        """What a budget counts: CPU, or the clock where a GPU does the work."""
        return self.time.cpu if self.device == "cpu" else self.time.clock


def rehearse(request: Mapping[str, Any], *, registry: Registry | None = None) -> Rehearsal:
    """Get ready to time a training that is not done; nothing is written.

    Args:
        request: what to train, as `ganforge.core.train` takes it.

    Raises:
        GanforgeError: bad input, or several processes.
    """
    config, data, game = begin(request, registry or default_registry())
    if distributed.world() > 1:
        raise GanforgeError("rounds are timed in one process: leave torchrun out, or say the length in --steps")
    return Rehearsal(game, Stream(data, config.seed, flip=config.data.flip, channels_last=config.machine.channels_last))


class Rehearsal:
    """A game of which single rounds are timed, and which is of no other use then."""

    def __init__(self, game: Game, stream: Stream) -> None:
        self.game, self.stream = game, stream
        # Penalties that are not paid in every step: rounds are timed until all have come around.
        self.cycle = math.lcm(*(getattr(effect, "every", 1) for effect in game.effects.values()))

    def whole(self) -> Pace:
        """The time of the training that was asked for."""
        rounds = self.game.config.steps
        first = self._seconds(self._round(0, rounds, 0.0))
        return self._timed(rounds, _patience(rounds * first), first)

    def within(self, budget: float) -> Pace:
        """The training that takes the budget, in seconds; what was asked for as its length gives way.

        Raises:
            GanforgeError: no round fits into it.
        """
        first = self._seconds(self._round(0, self.game.config.steps, 0.0))
        if first > budget:
            raise GanforgeError(
                f"a round takes {first:.3g} s, and none fits into {budget:g} s: set a smaller batch_size, or narrower "
                "networks"
            )
        rounds, each = round(budget / first), first
        for _ in range(TRIES):
            found = self._timed(rounds, _patience(budget), each)
            each = found.seconds / rounds
            rounds = max(1, round(rounds * budget / found.seconds))
            if abs(found.seconds / budget - 1) < CLOSE:
                break
        return Pace(rounds, Time(*(one * rounds / found.rounds for one in found.time)), found.device)

    def _timed(self, rounds: int, patience: float, each: float) -> Pace:
        """The time of so many rounds: the mean round of moments spread evenly over them, times their number.

        `each` is what a round takes, as far as that is known, and says how many moments there is patience for.
        """
        parts = round(min(max(patience / (self.cycle * each), FEWEST), MOST))
        moments = sorted({(2 * i + 1) * rounds // (2 * parts) for i in range(parts)})
        times = [self._round(moment, rounds, patience / len(moments)) for moment in moments]
        clock, cpu = (rounds * fmean(column) for column in zip(*times, strict=True))
        return Pace(rounds, Time(clock, cpu), self.game.device.type)

    def _round(self, at: int, rounds: int, patience: float) -> Time:
        """The mean time of a round at a moment of a training, played again and again until `patience` is over.

        A first one is not counted: networks change there, and memory is fetched.
        """
        with torch.random.fork_rng():
            self._play(at, rounds)
            then, played, spent = self._now(), 0, Time(0.0, 0.0)
            while played == 0 or self._seconds(spent) < patience:
                for i in range(self.cycle):
                    self._play(at + i, rounds)
                played, now = played + self.cycle, self._now()
                spent = Time(now.clock - then.clock, now.cpu - then.cpu)
        return Time(spent.clock / played, spent.cpu / played)

    def _seconds(self, time: Time) -> float:
        return Pace(1, time, self.game.device.type).seconds

    def _play(self, round_: int, rounds: int) -> None:
        play_round(self.game, self.stream, Clock(round_, rounds, round_ * images_per_round(self.game.config)))

    def _now(self) -> Time:
        if self.game.device.type == "cuda":
            torch.cuda.synchronize(self.game.device)
        return Time(time.monotonic(), time.process_time())


def _patience(seconds: float) -> float:
    return min(max(SHARE * seconds, SHORTEST), LONGEST)
