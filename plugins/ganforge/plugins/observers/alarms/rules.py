"""What is wrong in a run's records, in words: evidence, usual causes, a setting to try. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ganforge.core import Record
from ganforge.core.config import Config
from ganforge.plugins.observers.alarms.limits import (
    LIMITS,
    WARM_UP,
    Judged,
    Limit,
    Severity,
    slower,
    smoothing,
    unless_on,
)

ZERO_LOSS = 0.01
WINDOW = 10
"""Records that are compared with as many before them."""
UNSTEADY, STEADY = 5.0, 0.05
"""A loss that moves less than the latter between records is steady."""
SPIKE = 50.0
"""The healthy runs that chose the limits spike by up to 28, for a record."""
LOST, KNOWN = 0.5, 0.2
VARIETY = {"variety/coverage": "with a generated one near them", "variety/recall": "that are among generated ones"}
RIGHT, FEW = 0.9, 0.5
WORSE = 2.0
GROWN = 10.0


@dataclass(frozen=True)
class Alarm:
    """What was seen in a round, and which figure it is about; how bad it is; evidence and causes; what to try."""

    round: int
    kind: str
    about: str
    severity: Severity
    message: str
    advice: str


Value = tuple[int, float]
"""A round, and a figure after it."""


def judge(
    records: Sequence[Record],
    run: Judged,
    patience: int = 3,
    best: Mapping[str, float | str] | None = None,
) -> list[Alarm]:
    """Everything that is wrong in the last record, seen with all before it.

    Args:
        records: the newest last.
        run: whose they are.
        patience: how many measurements in a row must be beyond a limit.
        best: RUN/best/score.json, where there is one.
    """
    if not records:
        return []
    config = run.config
    return [
        *_not_finite(records[-1], config),
        *_beyond_limits(records, run, patience),
        *(_zero_loss(records, config, patience) if run.reading.zero_is_failure else ()),
        *_growing_weights(records, config),
        *_unsteady_losses(records, config),
        *_loss_spikes(records, config),
        *_right_but_few(records, config, patience),
        *_lost_variety(records, config, patience),
        *(_worse_scores(records, best) if best else ()),
    ]


def values(records: Sequence[Record], figure: str) -> list[Value]:
    """A figure wherever it was measured and finite."""
    return [(int(r["round"]), r[figure]) for r in records if figure in r and math.isfinite(r[figure])]


def _not_finite(record: Record, config: Config) -> Iterator[Alarm]:
    bad = [f"{name} was {value}" for name, value in record.items() if not math.isfinite(value)]
    if bad:
        narrow = config.machine.precision == "fp16"
        yield _alarm(
            record,
            "not-finite",
            "record",
            "failed",
            f"{' and '.join(bad)}. Usual causes: a learning rate too large, a critic without a constraint, "
            "or fp16, whose largest number is 65,504.",
            *(["--set machine.precision=bf16"] if narrow else []),
            *slower(config, "discriminator"),
            *slower(config, "generator"),
        )


def _beyond_limits(records: Sequence[Record], run: Judged, patience: int) -> Iterator[Alarm]:
    """A figure beyond two limits is told once, by the worse."""
    told: set[tuple[str, str]] = set()
    for limit in sorted(LIMITS, key=lambda limit: limit.severity):  # failed before suspicious
        measured = [r for r in records if limit.beside in r][-patience:] if limit.beside else records
        for figure in _figures(records, limit):
            about = figure.removeprefix(limit.figure) or figure
            recent = [value for value in values(measured, figure) if value[0] > limit.warm_up][-patience:]
            crossed = len(recent) == patience and all(limit.crossed(value) for _, value in recent)
            if crossed and (limit.kind, about) not in told:
                told.add((limit.kind, about))
                yield _alarm(
                    records[-1],
                    limit.kind,
                    about,
                    limit.severity,
                    f"{limit.what.format(about=about)} was {recent[-1][1]:.3g} and has been {limit.side} "
                    f"{limit.level:g} since round {recent[0][0]:,}. {limit.means} Usual causes: {limit.causes}.",
                    *limit.settings(run, about),
                )


def _figures(records: Sequence[Record], limit: Limit) -> list[str]:
    """The figures a limit is for: one, or all those below a name that ends in a slash."""
    if not limit.figure.endswith("/"):
        return [limit.figure]
    return list(dict.fromkeys(name for record in records[-3:] for name in record if name.startswith(limit.figure)))


def _zero_loss(records: Sequence[Record], config: Config, patience: int) -> Iterator[Alarm]:
    last = records[-1]
    for name in last:
        recent = values(records, name)[-patience:]
        if not name.startswith("loss/discriminator") or len(recent) < patience:
            continue
        if all(abs(value) < ZERO_LOSS for _, value in recent):
            yield _alarm(
                last,
                "discriminator-loss-zero",
                name.removeprefix("loss/"),
                "failed",
                f"{name} was {recent[-1][1]:.2g} and has been below {ZERO_LOSS:g} since round "
                f"{recent[0][0]:,}{_opinion(last)}. The discriminator no longer errs, so the "
                "generator learns little. Usual causes: a discriminator too strong or too fast for the "
                "generator, or too little data.",
                *slower(config, "discriminator"),
                *unless_on(config, "instance-noise"),
                *smoothing(config),
            )


def _growing_weights(records: Sequence[Record], config: Config) -> Iterator[Alarm]:
    """BigGAN (1809.11096, section 4.1): the largest singular values grow before a collapse, and explode in it."""
    known = values(records, "singular")
    if len(known) < 3:
        return
    (_, first), (round_, last) = known[0], known[-1]
    if last > GROWN * first:
        yield _alarm(
            records[-1],
            "growing-weights",
            "generator",
            "suspicious",
            f"the largest singular value of the generator's weights was {last:.3g} after round {round_:,}, "
            f"{last / first:.0f} times what it was at first. It explodes when a training collapses. Usual causes: a "
            "learning rate too large, or a discriminator that nothing keeps smooth.",
            *slower(config, "generator"),
            *unless_on(config, "spectral-norm"),
        )


def _unsteady_losses(records: Sequence[Record], config: Config) -> Iterator[Alarm]:
    """A loss that jumps far more than it did in its own past."""
    for name in records[-1]:
        if not name.startswith("loss/"):
            continue
        steps = [abs(after - before) for (_, before), (_, after) in pairwise(values(records, name)[-2 * WINDOW - 1 :])]
        if len(steps) < 2 * WINDOW:
            continue
        past, now = statistics.median(steps[:WINDOW]), statistics.median(steps[WINDOW:])
        if now > UNSTEADY * max(past, STEADY):
            player = name.removeprefix("loss/")
            yield _alarm(
                records[-1],
                "unsteady-loss",
                player,
                "suspicious",
                f"{name} has moved by {now:.3g} between records of late, {now / max(past, 1e-9):.0f} times as much as "
                "before. Usual causes: a learning rate too large, or players that chase one another in circles.",
                *slower(config, player),
            )


def _loss_spikes(records: Sequence[Record], config: Config) -> Iterator[Alarm]:
    """A discriminator's loss far outside its own recent past: robust, so that one spike does not hide the next."""
    last = records[-1]
    for name in last:
        known = values(records, name)[-WINDOW - 1 :]
        if not name.startswith("loss/discriminator") or len(known) <= WINDOW:
            continue
        *past, now = [value for _, value in known]
        usual = statistics.median(past)
        spread = statistics.median(abs(value - usual) for value in past)
        known_now = known[-1][0] == last["round"] > WARM_UP  # not so of a loss that is not finite
        if known_now and abs(now - usual) > SPIKE * max(spread, STEADY, STEADY * abs(usual)):
            yield _alarm(
                last,
                "loss-spike",
                name.removeprefix("loss/"),
                "suspicious",
                f"{name} was {now:.3g}, after {WINDOW} records between {min(past):.3g} and {max(past):.3g}. Usual "
                "causes: a learning rate too large, or a critic that nothing keeps smooth.",
                *slower(config, "discriminator"),
                *unless_on(config, "spectral-norm"),
            )


def _right_but_few(records: Sequence[Record], config: Config, patience: int) -> Iterator[Alarm]:
    """Samples like the data that cover little of it: what a likelihood, or a look at the pictures, does not show."""
    right, covered = (values(records, f"variety/{name}")[-patience:] for name in ("precision", "coverage"))
    if len(right) < patience or min(v for _, v in right) < RIGHT or max(v for _, v in covered) > FEW:
        return
    yield _alarm(
        records[-1],
        "right-but-few",
        "variety/coverage",
        "suspicious",
        f"{right[-1][1]:.0%} of the samples are like the data, but they cover {covered[-1][1]:.0%} of it. Usual "
        "causes: the generator makes only kinds that it makes well.",
        *slower(config, "generator"),
        *unless_on(config, "minibatch-stddev"),
    )


def _lost_variety(records: Sequence[Record], config: Config, patience: int) -> Iterator[Alarm]:
    """Coverage or recall far below what it was."""
    for figure, what in VARIETY.items():
        # Of noise in the first rounds each sample is far from the next, and all real ones are among them.
        known = [value for value in values(records, figure) if value[0] > WARM_UP]
        if len(known) < 2 * patience:
            continue
        means = [
            (known[i][0], statistics.mean(value for _, value in known[i : i + patience]))
            for i in range(len(known) - patience + 1)
        ]
        then, best = max(means[:-patience], key=lambda mean: mean[1])
        now = means[-1][1]
        if best > KNOWN and now < LOST * best:
            yield _alarm(
                records[-1],
                "variety-lost",
                figure,
                "suspicious",
                f"{figure.removeprefix('variety/')} was {best:.0%} around round {then:,} and is {now:.0%} now: the "
                f"share of real samples {what}. Usual causes: the generator has let go of kinds it could make, or the "
                "players no longer keep up with one another.",
                *slower(config, "generator"),
                *unless_on(config, "instance-noise"),
            )


def _worse_scores(records: Sequence[Record], best: Mapping[str, float | str]) -> Iterator[Alarm]:
    name, value = f"score/{best['figure']}", float(best["value"])
    recent = values(records, name)[-2:]
    if len(recent) < 2 or recent[0][0] <= float(best["round"]):
        return
    ratios = [max(score, value) / min(score, value) for _, score in recent if min(score, value) > 0]
    if len(ratios) == 2 and min(ratios) > WORSE:
        yield _alarm(
            records[-1],
            "score-worse",
            str(best["figure"]),
            "suspicious",
            f"{best['figure']} was {value:.3g} after round {best['round']:,} and is {recent[-1][1]:.3g} now. Usual "
            "causes: the training went on for too long, or has come apart. The best checkpoint is kept in best/.",
        )


def _opinion(record: Record) -> str:
    if "d_real" not in record or "d_fake" not in record:
        return ""
    return f"; D(real) was {record['d_real']:.3g} and D(fake) {record['d_fake']:.3g}"


def _alarm(record: Record, kind: str, about: str, severity: Severity, message: str, *settings: str) -> Alarm:
    tries = ", or ".join(settings)
    advice = f"Train again with {tries}." if settings else "Train again with a smaller learning rate."
    return Alarm(int(record["round"]), kind, about, severity, message, advice)
