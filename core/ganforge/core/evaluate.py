"""Scores with their provenance: one pass over the samples, and one over real ones, feeds every metric.

An extractor runs once on each image, whatever the number of metrics. Features of real images are kept on disk, under
a key of everything that changes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganforge.core.card import Score
from ganforge.core.config import attributed
from ganforge.core.data import Data, Split
from ganforge.core.draw import hash64
from ganforge.core.errors import GanforgeError
from ganforge.core.evaluation import (
    Asked,
    Case,
    Features,
    Judged,
    Reference,
    Sampler,
    Scorer,
    Side,
    Watch,
    side_of,
    silent,
)
from ganforge.core.latents import Generator
from ganforge.core.options import changed, parse
from ganforge.core.registry import Registry
from ganforge.core.seer import Seer, plain, require
from ganforge.core.specs import Metric, Need
from ganforge.core.versions import versions

PUBLISHED = 50_000
"""Samples on both sides of published scores: with as many, a standard extractor and nothing else set, a score needs no
longer name."""

SAMPLES: frozenset[Need] = frozenset({"images", "points", "labels"})
FEATURES: frozenset[Need] = frozenset({"features", "logits"})
"""What metrics need of each sample; an extractor is built for the latter, and for those that call it themselves."""

Figures = dict[str, dict[str, float]]
"""What metrics say of a side: by metric, then by figure."""


def evaluate(
    generated: Sampler,
    reference: Reference,
    asked: Asked,
    registry: Registry,
    watch: Watch = silent,
    generator: Generator | None = None,
) -> list[Score]:
    """Score generated samples against real ones; some metrics need the `generator` itself.

    Raises:
        GanforgeError: a metric that does not fit the data, has too few samples, needs an extractor, labels or the
            generator, or gives a figure that is not finite; a plugin's own code that raises.
        ModuleNotFoundError: a metric or an extractor needs what is not installed.
    """
    judge = Judge(generated, reference, asked, registry, watch, generator)
    found, *floors = judge.score([Side("generated", generated, asked.samples, real=False), *judge.floor_sides])
    return [score for _, score in judge.told(found, floors[0] if floors else {})]


class Judge:
    """Metrics and their extractor, ready to score any number of sides against one reference."""

    def __init__(
        self,
        generated: Sampler,
        reference: Reference,
        asked: Asked,
        registry: Registry,
        watch: Watch = silent,
        generator: Generator | None = None,
    ) -> None:
        self.reference, self.asked, self.registry, self.watch = reference, asked, registry, watch
        self.generated, self.generator = generated, generator
        if not asked.metrics:
            n = min(asked.samples, len(reference.data))
            raise GanforgeError(f"no metric is usual for {n} samples: judge more of them, or say which metrics")
        self.specs: dict[str, Metric[Any]] = {name: registry.find("metric", name) for name in asked.metrics}
        self.options = {name: parse(spec.options, asked.metrics[name], name) for name, spec in self.specs.items()}
        self.real = self.real_side("real", reference.data)
        for spec in self.specs.values():
            self._check(spec, generated)
        self.needs: frozenset[Need] = frozenset().union(*(spec.needs for spec in self.specs.values()))
        sees = any(map(_sees, self.specs.values()))
        self.seer = Seer(reference.training, asked, registry) if sees else None
        self._own: dict[str, dict[str, str | int | float]] = {}
        self._looked: dict[str, Data] = {}
        self._whole: dict[int, Features] = {}

    @property
    def floor_sides(self) -> list[Side]:
        """Real samples of the other split in the generator's place, where any metric has a floor; they have labels if
        its own do."""
        # With fewer samples than the generator's, what they score would be no measure for it.
        enough = len(self.reference.other) >= self.asked.samples
        if not (self.reference.floor and enough and any(spec.floor for spec in self.specs.values())):
            return []
        side = self.real_side("real, of the other split", self.reference.other)
        alike = not self.reference.other.spec.classes or self.generated(0, 1)[1] is not None
        return [side if alike else replace(side, sample=lambda start, n: (side.sample(start, n)[0], None))]

    def score(self, sides: Sequence[Side]) -> list[Figures]:
        """What the metrics say of each side; the real one is passed through once for all."""
        scorers = [self.scorers(side) for side in sides]
        for batch in self._batches(self.real, self.needs):
            for one in scorers:
                self._update(one, batch, real=True)
        for one, side in zip(scorers, sides, strict=True):
            for batch in self._batches(side, self.needs):
                self._update(one, batch, real=False)
        return [self._compute(one) for one in scorers]

    def real_side(self, name: str, data: Data) -> Side:
        """Real samples in an order of the seed, as many as are judged, or all there are."""
        count = min(self.asked.samples, len(data))
        order = np.random.default_rng(hash64(self.asked.seed, "reference")).permutation(len(data))[:count]
        return side_of(name, data, order, f"{self.asked.seed} {count}")

    def told(self, figures: Figures, floors: Figures) -> Iterator[tuple[str, Score]]:
        """Each figure of a side and its score, beside what real data scores in the side's place if that is known."""
        for metric, values in figures.items():
            told, known = self.provenance(metric), floors.get(metric, {})
            for key, value in values.items():
                floor = {"floor": known[key]} if key in known else {}
                yield key, Score(name=self.name(metric, key), value=value, provenance=told | floor)

    def name(self, metric: str, key: str) -> str:
        """What the score is called: its figure, the features, the number of samples, and options that were set."""
        n, settings = self.asked.samples, changed(self.options[metric])
        if self.seer is None or not _sees(self.specs[metric]):
            return f"{key}@{_short(n)}{_marked(settings)}"
        settings |= {f"features.{name}": value for name, value in changed(self.seer.options).items()}
        published = not settings and "truncation" not in self.asked.about and min(n, self.real.count) >= PUBLISHED
        if self.seer.extractor.standard and published:
            return key
        return f"{key}_{self.seer.name}@{_short(n)}{_marked(settings)}"

    def provenance(self, metric: str) -> dict[str, str | int | float]:
        """All one needs to believe a score, or to find it again; complete once the metric was built."""
        options = self.options[metric].model_dump(mode="json")
        return {
            "metric": metric,
            **{f"{metric}.{key}": plain(value) for key, value in options.items()},
            **self._own.get(metric, {}),
            "samples": self.asked.samples,
            "real": self.real.count,
            "split": self.reference.split,
            "data": self.reference.data.fingerprint,
            "seed": self.asked.seed,
            **self.asked.about,
            **self._compared(metric),
            **(self.seer.provenance() if self.seer and _sees(self.specs[metric]) else {}),
            **versions((*self.specs[metric].requires, self.specs[metric].build.__module__)),
        }

    def _compared(self, metric: str) -> dict[str, str]:
        """The whole split that a metric looked at, if it did, whatever the real samples beside it are."""
        if (data := self._looked.get(metric)) is None:
            return {}
        split: Split = "train" if data is self.reference.training else "test"
        return {"compared with": f"all {len(data)} of the {split} split", "data compared with": data.fingerprint}

    def _check(self, metric: Metric[Any], generated: Sampler) -> None:
        """What can be refused before anything is computed."""
        require(metric)
        spec = self.reference.data.spec
        kind = "points" if "points" in metric.needs else "images"
        if spec.kind != kind:
            raise GanforgeError(f"metric '{metric.name}' scores {kind}, and the data has {spec}")
        if "labels" in metric.needs and not spec.classes:
            raise GanforgeError(f"metric '{metric.name}' needs labelled data, and this has no classes")
        if "labels" in metric.needs and generated(0, 1)[1] is None:
            raise GanforgeError(f"metric '{metric.name}' needs a generator that takes labels, which this does not")
        if "generator" in metric.needs and self.generator is None:
            raise GanforgeError(f"metric '{metric.name}' needs the generator itself, and was given its samples only")
        for side, count in (("generated", self.asked.samples), ("real", self.real.count)):
            if count < metric.least:
                raise GanforgeError(f"metric '{metric.name}' needs at least {metric.least} {side} samples, not {count}")

    def scorers(self, side: Side) -> dict[str, Scorer]:
        """The metrics, built for a side."""
        scorers: dict[str, Scorer] = {}
        for name, metric in self.specs.items():
            if side.real and not metric.floor:
                continue
            case = self._case(side, name)
            if "logits" in metric.needs and case.extractor and not case.extractor.classes:
                raise GanforgeError(f"metric '{name}' needs a classifier, and '{self.asked.extractor}' gives no logits")
            with attributed(self.registry, "metric", name, "build"):
                scorers[name] = metric.build(self.options[name], case)
                own = getattr(scorers[name], "provenance", {})
                self._own[name] = {f"{name}.{key}": plain(value) for key, value in own.items()}
        return scorers

    def _case(self, side: Side, metric: str) -> Case:
        return Case(
            data=self.reference.data,
            samples=side.count,
            seed=self.asked.seed,
            extractor=self.seer.extractor if self.seer else None,
            training=self.reference.training,
            look=partial(self._look, metric),
            generator=None if side.real else self.generator,
            device=self.asked.device,
            watch=self.watch,
        )

    def _look(self, metric: str, data: Data) -> Features:
        """Features of all of a split, in its order, for a metric whose scores tell of it."""
        assert self.seer is not None
        self._looked[metric] = data
        if (found := self._whole.get(id(data))) is None:  # else another metric looked, or the same one before
            found = self.seer.whole("real, all of the training split", data, self.asked.batch_size, self.watch)
            self._whole[id(data)] = found
        return found

    def _update(self, scorers: Mapping[str, Scorer], batch: Judged, *, real: bool) -> None:
        for name, scorer in scorers.items():
            with attributed(self.registry, "metric", name, "update"):
                scorer.update(batch, real)

    def _compute(self, scorers: Mapping[str, Scorer]) -> Figures:
        values: Figures = {}
        for name, scorer in scorers.items():
            with attributed(self.registry, "metric", name, "compute"):
                values[name] = {key: float(value) for key, value in scorer.compute().items()}
            if broken := [key for key, value in values[name].items() if not math.isfinite(value)]:
                raise GanforgeError(f"metric '{name}' gives no finite {broken[0]} for these samples")
        return values

    def _batches(self, side: Side, needs: frozenset[Need]) -> Iterator[Judged]:
        """What is needed of a side, batch by batch; where its features are known, no samples are fetched for those."""
        shows, seer = bool(needs & SAMPLES), self.seer if needs & FEATURES else None
        if not (shows or seer):
            return
        fetches = not (seer and seer.recall(side)) or shows
        for start in range(0, side.count, self.asked.batch_size):
            n = min(self.asked.batch_size, side.count - start)
            samples, labels = self._fetch(side, start, n) if fetches else (None, None)
            seen = seer.look(side, start, n, samples) if seer else (None, None)
            yield Judged(*((samples, labels) if shows else (None, None)), *seen)
            self.watch(side.name, start + n, side.count)

    def _fetch(self, side: Side, start: int, n: int) -> tuple[Tensor, Tensor | None]:
        samples, labels = side.sample(start, n)
        there = torch.from_numpy(np.ascontiguousarray(samples)).to(self.asked.device)
        return there, None if labels is None else torch.from_numpy(labels)


def _sees(metric: Metric[Any]) -> bool:
    """Whether a metric's figures are those of an extractor."""
    return bool((FEATURES | {"extractor"}) & metric.needs)


def _marked(settings: Mapping[str, Any]) -> str:
    """Options as a name tells them: `[subset_size=500]`, nothing where none was set."""
    words = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items())
    return f"[{','.join(words)}]" if settings else ""


def _short(n: int) -> str:
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)
