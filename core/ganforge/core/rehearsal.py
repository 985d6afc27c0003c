"""How long a training takes here, from rounds that are played at several of its moments and forgotten.

Several, because a round need not always cost the same: networks grow, players join in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
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
from ganforge.core.run import begin, watched
from ganforge.core.timing import Time

FEWEST, MOST = 4, 16
"""Moments of a training at which rounds are timed, fewer where they are slow; what passes between two may be missed."""

SHARE, SHORTEST, LONGEST = 1 / 50, 2.0, 20.0
"""What timing takes: a share of the training, within seconds that are more than noise and less than patience."""

CLOSE, TRIES = 0.1, 6
"""How near to a budget the time of a training must be found, and how often it is looked for."""


class Played(NamedTuple):
    """What each of `rounds` that were played took."""

    each: Time
    rounds: int


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
    registry = registry or default_registry()
    config, data, game = begin(request, registry)
    if distributed.world() > 1:
        raise GanforgeError("rounds are timed in one process: leave torchrun out, or say the length in --steps")
    watched(game, data, Path(), 0, registry)
    return Rehearsal(game, Stream(data, config.seed, flip=config.data.flip, channels_last=config.machine.channels_last))


class Rehearsal:
    """A game of which single rounds are timed, and which is of no other use then."""

    def __init__(self, game: Game, stream: Stream) -> None:
        self.game, self.stream = game, stream
        # After so many rounds all penalties that are not paid in every step have come around.
        self.cycle = math.lcm(*(getattr(effect, "every", 1) for effect in game.effects.values()))

    def whole(self) -> Pace:
        """The time of the training that was asked for."""
        rounds, each = self.game.config.steps, self._one()
        return self._timed(rounds, each, rounds * each)

    def within(self, budget: float) -> Pace:
        """The training that takes the budget, in seconds; what was asked for as its length gives way.

        Raises:
            GanforgeError: no round fits into it.
        """
        each = self._one()
        if each > budget:
            raise GanforgeError(
                f"a round takes {each:.3g} s, and none fits into {budget:g} s: set a smaller batch_size, or narrower "
                "networks"
            )
        rounds = round(budget / each)
        for _ in range(TRIES):
            found = self._timed(rounds, each, budget)
            each = found.seconds / rounds
            rounds = max(1, round(budget / each))
            if abs(found.seconds / budget - 1) < CLOSE:
                break
        return Pace(rounds, Time(*(one * rounds / found.rounds for one in found.time)), found.device)

    def _one(self) -> float:
        """Seconds of a round: of a second one, since memory is taken in the first, unless that is long anyway."""
        first = self._seconds(self._time(1, 1, self.game.config.steps))
        return first if first > LONGEST else self._seconds(self._time(1, 1, self.game.config.steps))

    def _timed(self, rounds: int, each: float, seconds: float) -> Pace:
        """The time of so many rounds: the mean round of moments spread evenly over them, times their number.

        A round takes about `each` and they all about `seconds`, as far as that is known.
        """
        patience = min(max(SHARE * seconds, SHORTEST), LONGEST)
        moments = min(max(int(patience / each), FEWEST), MOST, rounds)
        times, played = [], 0
        for moment in range(moments):
            place = (2 * moment + 1) * rounds // (2 * moments)
            # The cycle is taken up where the moment before left it, so that together they go through whole ones.
            found = self._play(place - (place - played) % self.cycle, rounds, patience / moments)
            times.append(found.each)
            played += found.rounds
        clock, cpu = (rounds * fmean(column) for column in zip(*times, strict=True))
        return Pace(rounds, Time(clock, cpu), self.game.device.type)

    def _play(self, start: int, rounds: int, patience: float) -> Played:
        """Play from a round on for about `patience`, whole cycles if they fit, after one round that is not counted:
        networks change there, and memory is taken."""
        start = max(start, 1)  # in round 0 effects may say how the training will go, which is not this one
        first = self._seconds(self._time(start, 1, rounds))
        n = max(1, int(patience / max(first, 1e-6)))
        n -= n % self.cycle if n > self.cycle else 0
        spent = self._time(start + 1, n, rounds)
        return Played(Time(spent.clock / n, spent.cpu / n), n)

    def _time(self, start: int, n: int, rounds: int) -> Time:
        """What n rounds take from one on, of so many in all."""
        with torch.random.fork_rng():
            before = self._now()
            for round_ in range(start, start + n):
                self._round(round_, rounds)
            return self._now().since(before)

    def _seconds(self, time: Time) -> float:
        return Pace(1, time, self.game.device.type).seconds

    def _round(self, round_: int, rounds: int) -> None:
        play_round(self.game, self.stream, Clock(round_, rounds, round_ * images_per_round(self.game.config)))

    def _now(self) -> Time:
        if self.game.device.type == "cuda":
            torch.cuda.synchronize(self.game.device)
        return Time.now()
