"""Figures with a limit: something is wrong when it is crossed for several records. docs/diagnosis.md has the sources.

The limits were chosen on half of the trainings of `benchmarks/diagnosis.py` and tried on the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from ganforge.core import DataSpec, Reading
from ganforge.core.config import Config, PlayerConfig

Severity = Literal["suspicious", "failed"]


class Judged(NamedTuple):
    """What is judged, beside its records: advice goes by it, and `reading` says whether a loss at zero is a failure."""

    config: Config
    data: DataSpec
    reading: Reading


Settings = Callable[[Judged, str], list[str]]

WARM_UP = 300
"""Rounds in which a generator may still make anything."""


@dataclass(frozen=True)
class Limit:
    """A figure that is wrong above or below a level.

    `what` is the figure in words, `means` what follows from it, `causes` the usual ones, `settings` what to try.
    `warm_up` rounds are left out. `beside` is measured whenever the figure can be: where it stands alone, the figure
    could not be told, and is beyond no limit.
    """

    kind: str
    figure: str
    side: Literal["above", "below"]
    level: float
    severity: Severity
    what: str
    means: str
    causes: str
    settings: Settings
    warm_up: int = WARM_UP
    beside: str = ""

    def crossed(self, value: float) -> bool:
        return value > self.level if self.side == "above" else value < self.level


def slower(config: Config, player: str) -> list[str]:
    """Half the player's learning rate; nothing for a player the config does not know."""
    settings = getattr(config, player, None)
    return [f"--set {player}.lr={settings.lr / 2:g}"] if isinstance(settings, PlayerConfig) else []


def unless_on(config: Config, regularizer: str) -> list[str]:
    return [] if regularizer in config.regularizers else [f"--set regularizers.{regularizer}=true"]


def smoothing(config: Config) -> list[str]:
    """One-sided label smoothing, for a loss that has it and does not use it yet."""
    return ["--set loss.smoothing=one-sided"] if config.loss.values.get("smoothing") == "none" else []


def _more_variety(run: Judged, about: str) -> list[str]:
    settings = [*slower(run.config, "generator"), *unless_on(run.config, "instance-noise")]
    return [*settings, f"--set batch_size={2 * run.config.batch_size}"]


ALIKE = "the generator found one kind that passes and stays with it, or it has stopped learning"

LABELS = "the generator goes by the label and not by its noise, which a loss on classes rewards"
BEYOND = "the learning rate is too large, or one player has won and the other no longer learns"


def _both_slower(run: Judged, about: str) -> list[str]:
    return [*slower(run.config, "discriminator"), *slower(run.config, "generator")]


def _slower_and_smooth(run: Judged, about: str) -> list[str]:
    return [*slower(run.config, about), *unless_on(run.config, "spectral-norm")]


def _augmented(run: Judged, about: str) -> list[str]:
    """Augmentation of pictures, ADA where it can count how often D is right; of points, noise and a slower critic."""
    if run.data.kind != "images":
        return [*unless_on(run.config, "instance-noise"), *slower(run.config, "discriminator")]
    adaptive = run.data.shape[0] in (1, 3) and run.reading.even is not None
    return [*unless_on(run.config, "diffaugment"), *(unless_on(run.config, "ada") if adaptive else [])]


def _and_failed(limit: Limit, level: float, means: str, **others: Any) -> tuple[Limit, Limit]:
    """A suspicious limit, and the one further out at which a training has failed."""
    return limit, replace(limit, severity="failed", level=level, means=means, **others)


LIMITS = (
    Limit(
        kind="large-gradient",
        figure="gradient_norm/",
        side="above",
        level=1000,
        severity="suspicious",
        what="the gradient norm of the {about}",
        means="Its steps are hardly those of a descent.",
        causes="a learning rate too large, or a critic that nothing keeps smooth",
        settings=_slower_and_smooth,
        warm_up=0,
    ),
    Limit(
        kind="samples-alike",
        figure="diversity",
        side="below",
        level=0.1,
        severity="failed",
        what="the spread of the samples over the data's",
        means="They have become all alike.",
        causes=ALIKE,
        settings=_more_variety,
    ),
    *_and_failed(
        Limit(
            kind="little-variety",
            figure="variety/distance",
            side="below",
            level=0.7,
            severity="suspicious",
            what="the distance between two samples, over that between two real ones,",
            means="They vary less than the data.",
            causes=ALIKE,
            settings=_more_variety,
        ),
        0.4,
        "They are nearly all alike.",
    ),
    *_and_failed(
        Limit(
            kind="classes-alike",
            figure="variety/within_class",
            side="below",
            level=0.6,
            severity="suspicious",
            what="the distance between two samples of one class, over that between two such real ones,",
            means="Classes vary less than the data's.",
            causes=LABELS,
            settings=_more_variety,
        ),
        0.3,
        "A class is nearly always the same picture.",
    ),
    *_and_failed(
        Limit(
            kind="data-not-covered",
            figure="variety/coverage",
            side="below",
            level=0.45,
            severity="suspicious",
            what="the share of real samples with a generated one near them",
            means="Part of the data has none: kinds are missing, or samples are unlike it still.",
            causes=f"too few rounds so far; otherwise {ALIKE}",
            settings=_more_variety,
        ),
        0.3,
        "The samples are not like the data, or like little of it.",
        causes=f"too few rounds so far; otherwise {BEYOND}",
        settings=_both_slower,
    ),
    *_and_failed(
        Limit(
            kind="few-pictures",
            figure="support",
            side="below",
            level=500,
            severity="suspicious",
            what="the number of different pictures, by the birthday paradox,",
            means="The generator repeats itself.",
            causes=ALIKE,
            settings=_more_variety,
        ),
        50,
        "The generator makes hardly more than these.",
    ),
    Limit(
        kind="dead-output",
        figure="output/dead",
        side="above",
        level=0.3,
        severity="failed",
        what="the share of values that never change, beyond the data's,",
        means="The generator has lost part of its output.",
        causes="units that died at a learning rate too large",
        settings=lambda run, about: slower(run.config, "generator"),
    ),
    Limit(
        kind="saturated-output",
        figure="output/saturated",
        side="above",
        level=0.3,
        severity="failed",
        what="the share of values at the ends of the range, beyond the data's,",
        means="There the generator's last layer has no gradient.",
        causes="a learning rate too large, or a discriminator that nothing keeps smooth",
        settings=lambda run, about: _slower_and_smooth(run, "generator"),
    ),
    Limit(
        kind="overfitting",
        figure="overfitting/r_v",
        side="above",
        level=0.6,
        severity="suspicious",
        what="how much of the way from real to generated the opinion of held-out samples has gone",
        means="The discriminator knows the training data by heart.",
        causes="too little data, or a training that went on for too long",
        settings=_augmented,
        beside="d_held_out",
    ),
)
