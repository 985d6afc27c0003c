"""What is asked of a comparison: its budget, and how its rows are scored."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from ganforge.cli.compare.rows import Entry
from ganforge.core.config import load_data
from ganforge.core.data import DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.registry import Registry
from ganforge.core.scoring import default_extractor, usual_metrics
from ganforge.core.specs import Metric

SAMPLES = 2000
"""Judged where nobody says how many, if the training data has as many."""

CONDITIONAL = "conditional-accuracy"
JUDGE = "classifier"
"""What tells whether samples of generators that take labels show their class."""

VERSION = 1
"""Of the results on disk: a change makes everything train again."""


Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Lead:
    """The score that rows are sorted by, and which way is better. Rows with more of `first` stand before others."""

    figure: str
    better: Better
    first: str = ""


CURVE = 1000
"""Samples at most of a score on the way: few, since they are drawn and looked at again and again."""


def lead_of(metric: Metric[Any]) -> Lead | None:
    """How rows are sorted by a metric. Of modes, those captured count first: alone they say little."""
    figures = [figure for figure in metric.best if figure != "modes"]
    if not figures:
        return None
    better = {"lowest": "lower", "highest": "higher"}[metric.best[figures[0]]]
    return Lead(figures[0], cast(Better, better), first="modes" if "modes" in metric.best else "")


@dataclass(frozen=True)
class Scoring:
    """How a finished training is judged and on which device; `leader` is the metric whose figure leads."""

    metrics: tuple[str, ...]
    features: str | None
    samples: int
    device: str
    leader: str
    lead: Lead

    @property
    def curve_samples(self) -> int:
        return min(self.samples, CURVE)


@dataclass(frozen=True)
class Machine:
    """Where it runs: the device as torch names it, the threads of a process, and trainings at once."""

    device: str
    threads: int
    jobs: int

    @property
    def unit(self) -> str:
        """What minutes of a budget are called."""
        return "CPU minutes" if self.device == "cpu" else "minutes"


def choose_scoring(
    metrics: str | None, features: str | None, samples: int | None, entries: Sequence[Entry], registry: Registry
) -> Scoring:
    """The metrics asked for or those usual for such data, checked.

    Raises:
        GanforgeError: an unknown name, no score that could lead, features that are not installed.
    """
    entry = entries[0]
    samples = samples or min(SAMPLES, entry.data_size)
    usual = usual_metrics(registry, load_data(entry.config.data, registry, "test"), samples)
    chosen = usual if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    specs: list[Metric[Any]] = [registry.find("metric", name) for name in chosen]
    leads = {spec.name: lead for spec in specs if (lead := lead_of(spec))}
    if not leads:
        sortable = [name for name, spec in registry.all("metric").items() if spec.best]
        raise GanforgeError(f"--metrics needs one that rows can be sorted by: {', '.join(sorted(sortable))}")
    needs = {str(need) for spec in specs for need in spec.needs}
    if "points" in needs and entry.data.kind == "images":
        raise GanforgeError("--metrics modes scores points, and the data has images: leave it out")
    leader, lead = next(iter(leads.items()))
    features = _features(features, entry.data, needs, registry)
    return Scoring(tuple(chosen), features, samples, entry.config.machine.device.partition(":")[0], leader, lead)


def _features(name: str | None, data: DataSpec, needs: set[str], registry: Registry) -> str | None:
    if name is not None:
        return str(registry.find("extractor", name).name)
    if data.kind == "points" or not needs & {"features", "logits", "extractor"}:
        return None
    if (name := default_extractor(registry)) is None:
        raise GanforgeError("scores of images need features: pip install 'ganforge[evaluate]', or --features NAME")
    return name


def digest(entry: Entry, seed: int | None, budget: float, scoring: Scoring) -> str:
    """sha256 of all that makes a training and its scores what they are; without a seed, of all its seeds'."""
    config = entry.config.model_copy(update={"seed": seed or 0})
    parts: Mapping[str, Any] = {
        "version": VERSION,
        "config": config.digest(),
        "machine": config.machine.model_dump(),
        "data": entry.fingerprint,
        "budget": budget,
        "scoring": asdict(scoring),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def grid_size(entry: Entry) -> int:
    """Samples in a row's picture: some for each class where the generator takes labels of not too many."""
    if entry.data.kind == "points":
        return 2000
    classes = len(entry.data.classes)
    return classes * max(2, math.ceil(60 / classes)) if entry.labelled and classes <= 32 else 64
