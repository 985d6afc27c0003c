"""What is kept of a training, one JSON each, and what the trainings of a row say together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from ganforge.core.card import Score
from ganforge.core.files import write_text
from ganforge.core.options import Options
from ganforge.core.scoring import plain_name

Verdict = Literal["healthy", "suspicious", "failed"]
VERDICTS: tuple[Verdict, ...] = ("healthy", "suspicious", "failed")
"""What `diagnose` says, from the best to the worst."""


class Point(NamedTuple):
    """The leading score on the way, after so many minutes."""

    minutes: float
    value: float


class Trained(Options):
    """One training of a row: everything the pages tell of it. `digest` is of all that made it what it is.

    `minutes` is what it took, without starting, scoring and writing; `picture` a file beside this one. A training
    that failed has its `reason`, and the figures it came to.
    """

    digest: str
    seed: int
    verdict: Verdict
    reason: str = ""
    alarms: tuple[dict[str, Any], ...] = ()
    rounds: int = 0
    minutes: float = 0.0
    images_per_second: float = 0.0
    scores: tuple[Score, ...] = ()
    curve: tuple[Point, ...] = ()
    picture: str = ""
    commands: tuple[str, ...] = ()

    def figure(self, name: str) -> float | None:
        """The value of a score by its figure, as in `kid` or `recall`."""
        return next((score.value for score in self.scores if figure_of(score) == name), None)

    def floor(self, name: str) -> float | None:
        """What real data scores in the generator's place."""
        found = (score.provenance.get("floor") for score in self.scores if figure_of(score) == name)
        floor = next(found, None)
        return None if floor is None else float(floor)


def figure_of(score: Score) -> str:
    """`recall` of `recall_k5_efficientnet-lite0@2k`: the name without what it was computed from."""
    return plain_name(score.name.partition("@")[0].removesuffix(f"_{score.provenance.get('extractor')}"))


TITLES = {"kid": "KID", "fid": "FID", "is": "IS", "reverse_kl": "reverse KL"}
"""Figures whose names are no words."""


def title_of(figure: str) -> str:
    """A figure as people write it."""
    return TITLES.get(figure, figure.replace("_", " "))


def short(value: float) -> str:
    """Three digits, as in 0.0123, 12.3 and 8."""
    return f"{value:.3g}"


class Spread(NamedTuple):
    """A figure over a row's seeds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """Median and range; None of nothing."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None


@dataclass(frozen=True)
class Standing:
    """A row with its trainings, in the order of their seeds."""

    title: str
    slug: str
    recipe: str
    settings: tuple[str, ...]
    parameters: int
    trained: tuple[Trained, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its trainings'."""
        return max((one.verdict for one in self.trained), key=VERDICTS.index)

    @property
    def figures(self) -> list[str]:
        """Every figure its trainings have, in order."""
        return list(dict.fromkeys(figure_of(score) for one in self.trained for score in one.scores))

    def spread(self, figure: str) -> Spread | None:
        """A figure over the seeds that have it."""
        return spread([value for one in self.trained if (value := one.figure(figure)) is not None])

    def over_seeds(self, field: str) -> Spread | None:
        """`rounds`, `minutes` or `images_per_second` over the seeds that were trained."""
        return spread([getattr(one, field) for one in self.trained if getattr(one, field)])


def read_trained(path: Path, digest: str) -> Trained | None:
    """The result kept at `path`, if it is of these settings and whole."""
    try:
        kept = Trained.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return kept if kept.digest == digest else None


def write_trained(path: Path, trained: Trained) -> None:
    write_text(path, trained.model_dump_json(indent=1) + "\n")
