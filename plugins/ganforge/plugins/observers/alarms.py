"""Alarms in words: what looks wrong in a record, why that usually happens, and a setting to try."""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ganforge.core import GanforgeError, Observer, Options, Reading, Record, RunInfo, RunObserver, hookimpl
from ganforge.core.config import Config, PlayerConfig
from ganforge.core.files import write_text
from ganforge.plugins.observers.run_files import read_lines, read_records

log = logging.getLogger("ganforge")


class AlarmOptions(Options):
    """When something counts as wrong."""

    zero_loss: float = Field(0.01, gt=0, description="a discriminator's loss below this counts as zero")
    gradient_norm: float = Field(100, gt=0, description="a player's gradient norm above this is too large")
    diversity: float = Field(0.1, gt=0, description="a spread of the samples over the data's that is too low")
    warm_up: int = Field(300, ge=0, description="rounds in which samples may still be all alike")
    patience: int = Field(3, ge=1, description="records in a row with a loss at zero, or samples all alike")
    calm: int = Field(3, ge=1, description="records in a row without an alarm before it is raised again")


@dataclass(frozen=True)
class Alarm:
    """What was seen in a round, and which figure it is about; evidence and usual causes; what to try."""

    round: int
    kind: str
    about: str
    message: str
    advice: str


def judge(records: Sequence[Record], reading: Reading, config: Config, options: AlarmOptions) -> list[Alarm]:
    """Everything that is wrong in the last record, seen with the ones before it. Pure.

    Args:
        records: the newest last; `options.patience` of them are enough.
        reading: the loss's; it says whether a loss at zero is a failure.
        config: the run's, from which the advice takes its figures.
    """
    if not records:
        return []
    recent = records[-options.patience :] if len(records) >= options.patience else []
    return [
        *_not_finite(records[-1], config),
        *_large_gradients(records[-1], config, options),
        *(_zero_loss(recent, config, options) if recent and reading.zero_is_failure else ()),
        *(_all_alike(recent, config, options) if recent else ()),
    ]


def _not_finite(record: Record, config: Config) -> Iterator[Alarm]:
    bad = [f"{name} was {value}" for name, value in record.items() if not math.isfinite(value)]
    if bad:
        narrow = config.machine.precision == "fp16"
        yield _alarm(
            record,
            "not-finite",
            "record",
            f"{' and '.join(bad)}. Usual causes: a learning rate too large, a critic without a constraint, "
            "or fp16, whose largest number is 65,504.",
            *(["--set machine.precision=bf16"] if narrow else []),
            *_slower(config, "discriminator"),
            *_slower(config, "generator"),
        )


def _large_gradients(record: Record, config: Config, options: AlarmOptions) -> Iterator[Alarm]:
    for name, norm in record.items():
        kind, _, player = name.partition("/")
        if kind == "gradient_norm" and math.isfinite(norm) and norm > options.gradient_norm:
            yield _alarm(
                record,
                "large-gradient",
                player,
                f"the gradient norm of the {player} was {norm:,.0f}, above {options.gradient_norm:g}. "
                "Usual causes: a learning rate too large, or a critic that nothing keeps smooth.",
                *_slower(config, player),
                *_unless_on(config, "spectral-norm"),
            )


def _zero_loss(recent: Sequence[Record], config: Config, options: AlarmOptions) -> Iterator[Alarm]:
    last = recent[-1]
    for name in last:
        if not name.startswith("loss/discriminator"):
            continue
        if all(abs(record.get(name, math.inf)) < options.zero_loss for record in recent):
            yield _alarm(
                last,
                "discriminator-loss-zero",
                name.removeprefix("loss/"),
                f"{name} was {last[name]:.2g} and has been below {options.zero_loss:g} since round "
                f"{int(recent[0]['round']):,}{_opinion(last)}. The discriminator no longer errs, so the "
                "generator learns little. Usual causes: a discriminator too strong or too fast for the "
                "generator, or too little data.",
                *_slower(config, "discriminator"),
                *_unless_on(config, "instance-noise"),
                *_smoothing(config),
            )


def _all_alike(recent: Sequence[Record], config: Config, options: AlarmOptions) -> Iterator[Alarm]:
    first, last = recent[0], recent[-1]
    low = all(record.get("diversity", math.inf) < options.diversity for record in recent)
    if low and first["round"] > options.warm_up:
        yield _alarm(
            last,
            "samples-alike",
            "diversity",
            f"the samples have become all alike: their spread was {last['diversity']:.2g} of the data's, and "
            f"has been below {options.diversity:g} since round {int(first['round']):,}. Usual causes: the "
            "generator found one kind that passes and stays with it, or it has stopped learning.",
            *_slower(config, "generator"),
            *_unless_on(config, "instance-noise"),
            f"--set batch_size={2 * config.batch_size}",
        )


def _opinion(record: Record) -> str:
    if "d_real" not in record or "d_fake" not in record:
        return ""
    return f"; D(real) was {record['d_real']:.3g} and D(fake) {record['d_fake']:.3g}"


def _alarm(record: Record, kind: str, about: str, message: str, *settings: str) -> Alarm:
    tries = ", or ".join(settings)
    advice = f"Train again with {tries}." if settings else "Train again with a smaller learning rate."
    return Alarm(int(record["round"]), kind, about, message, advice)


def _slower(config: Config, player: str) -> list[str]:
    """Half the player's learning rate; nothing for a player the config does not know."""
    settings = getattr(config, player, None)
    return [f"--set {player}.lr={settings.lr / 2:g}"] if isinstance(settings, PlayerConfig) else []


def _unless_on(config: Config, regularizer: str) -> list[str]:
    return [] if regularizer in config.regularizers else [f"--set regularizers.{regularizer}=true"]


def _smoothing(config: Config) -> list[str]:
    """One-sided label smoothing, for a loss that has it and does not use it yet."""
    return ["--set loss.smoothing=one-sided"] if config.loss.values.get("smoothing") == "none" else []


class Episodes:
    """Makes of alarms news: one is new the first time, and again only after `calm` records without it."""

    def __init__(self, calm: int) -> None:
        self.calm = calm
        self.absent: dict[tuple[str, str], int] = {}

    def news(self, alarms: Sequence[Alarm]) -> list[Alarm]:
        """The alarms of one record that were not going on already."""
        fresh = [alarm for alarm in alarms if (alarm.kind, alarm.about) not in self.absent]
        present = {(alarm.kind, alarm.about) for alarm in alarms}
        waited = {key: n + 1 for key, n in self.absent.items() if key not in present and n + 1 < self.calm}
        self.absent = waited | dict.fromkeys(present, 0)
        return fresh


class Alarms(RunObserver):
    """Judges every record; writes what is new to alarms.jsonl and to the log."""

    def __init__(self, options: AlarmOptions) -> None:
        self.options = options

    def run_started(self, info: RunInfo) -> None:
        self.info, self.path = info, info.directory / "alarms.jsonl"
        self.recent: deque[Record] = deque(maxlen=self.options.patience)
        self.episodes = Episodes(self.options.calm)
        self.told: set[tuple[str, str]] = set()
        self._drop_alarms_beyond(info.start)
        # What was going on at the checkpoint is not news after it.
        for record in read_records(info.directory, info.start):
            self._news(record)

    def step_logged(self, record: Record) -> None:
        for alarm in self._news(record):
            # A person is told once of each trouble; its every return is in the file and counted in the report.
            told = (alarm.kind, alarm.about) in self.told
            log.log(
                logging.INFO if told else logging.WARNING, "round %d: %s %s", alarm.round, alarm.message, alarm.advice
            )
            self.told.add((alarm.kind, alarm.about))
            self._write(alarm)

    def _news(self, record: Record) -> list[Alarm]:
        self.recent.append(record)
        return self.episodes.news(judge(list(self.recent), self.info.reading, self.info.config, self.options))

    def _write(self, alarm: Alarm) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(alarm)) + "\n")
        except OSError as error:
            log.warning("the alarm is not in %s: %s", self.path, error)

    def _drop_alarms_beyond(self, start: int) -> None:
        if not self.path.exists():
            return
        kept = [alarm for alarm in read_lines(self.path) if alarm["round"] <= start]
        _rewrite(self.path, kept)


def _rewrite(path: Path, values: Sequence[dict[str, Any]]) -> None:
    try:
        write_text(path, "".join(json.dumps(value) + "\n" for value in values))
    except GanforgeError as error:
        log.warning("old alarms stay: %s", error)


def build(options: AlarmOptions) -> RunObserver:
    return Alarms(options)


@hookimpl
def ganforge_observers() -> list[Observer[Any]]:
    return [Observer(name="alarms", summary="what looks wrong, in words", options=AlarmOptions, build=build)]
