"""Scores with their provenance: one pass over the samples, and one over real ones, feeds every metric.

An extractor runs once on each image, whatever the number of metrics. Features of real images are kept on disk, under
a key of everything that changes them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganforge.core.card import Score
from ganforge.core.config import attributed
from ganforge.core.data import ArrayData, Data, Split
from ganforge.core.draw import hash64
from ganforge.core.errors import GanforgeError
from ganforge.core.evaluation import Case, Extractor, Features, Judged, Sampler, Scorer
from ganforge.core.files import atomic, cache_directory
from ganforge.core.latents import Generator
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.core.specs import FeatureExtractor, Metric, Need

log = logging.getLogger("ganforge")

PUBLISHED = 50_000
"""Samples on both sides of published scores: with as many, a standard extractor and nothing else set, a score needs no
longer name."""

SAMPLES: frozenset[Need] = frozenset({"images", "points", "labels"})
FEATURES: frozenset[Need] = frozenset({"features", "logits"})
"""What metrics need of each sample; an extractor is built for the latter, and for those that call it themselves."""

Watch = Callable[[str, int, int], None]
"""Told after every batch: what is judged, how many of it are, and of how many."""


@dataclass(frozen=True)
class Asked:
    """Metrics and extractor with their options, how many samples, and on which device.

    `about` is what to tell of the generator with every score.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    extractor: str | None = None
    extractor_options: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 10_000
    seed: int = 0
    batch_size: int = 100
    device: str = "cpu"
    about: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A data set's two splits, and which of them generated samples are compared with.

    With `floor`, real samples of the other split, if it has as many, are judged as if they were generated: what the
    number of samples alone costs.
    """

    training: Data
    test: Data
    split: Split = "test"
    floor: bool = True

    @property
    def data(self) -> Data:
        return self.test if self.split == "test" else self.training

    @property
    def other(self) -> Data:
        return self.training if self.split == "test" else self.test


@dataclass(frozen=True)
class Side:
    """Samples of one origin. Features of those with a `key` are kept on disk; `real` ones have no generator."""

    name: str
    sample: Sampler
    count: int
    key: str = ""
    real: bool = True


Figures = dict[str, dict[str, float]]
"""What metrics say of a side: by metric, then by figure."""


def evaluate(
    generated: Sampler,
    reference: Reference,
    asked: Asked,
    registry: Registry,
    watch: Watch = lambda what, done, of: None,
    generator: Generator | None = None,
) -> list[Score]:
    """Score generated samples against real ones; some metrics need the `generator` itself.

    Raises:
        GanforgeError: a metric that does not fit the data, has too few samples, needs an extractor, labels or the
            generator, or gives a figure that is not finite; a plugin's own code that raises.
        ModuleNotFoundError: a metric or an extractor needs what is not installed.
    """
    judge = Judge(generated, reference, asked, registry, watch, generator)
    sides = [Side("generated", generated, asked.samples, real=False)]
    # With fewer samples than the generator's, what real ones score would be no measure for it.
    if reference.floor and judge.has_floors and len(reference.other) >= asked.samples:
        sides.append(judge.real_side("real, of the other split", reference.other))
    found, *floors = judge.score(sides)
    known = floors[0] if floors else {}
    scores = []
    for metric, values in found.items():
        for key, value in values.items():
            floor = {"floor": known[metric][key]} if key in known.get(metric, {}) else {}
            scores.append(Score(name=judge.name(metric, key), value=value, provenance=judge.provenance(metric) | floor))
    return scores


class Judge:
    """Metrics and their extractor, ready to score any number of sides against one reference."""

    def __init__(
        self,
        generated: Sampler,
        reference: Reference,
        asked: Asked,
        registry: Registry,
        watch: Watch = lambda what, done, of: None,
        generator: Generator | None = None,
    ) -> None:
        self.reference, self.asked, self.registry, self.watch = reference, asked, registry, watch
        self.generator = generator
        self.specs: dict[str, Metric[Any]] = {name: registry.find("metric", name) for name in asked.metrics}
        self.options = {name: parse(spec.options, asked.metrics[name], name) for name, spec in self.specs.items()}
        self.real = self.real_side("real", reference.data)
        for spec in self.specs.values():
            self._check(spec, generated)
        self.needs: frozenset[Need] = frozenset().union(*(spec.needs for spec in self.specs.values()))
        sees = any(map(_sees, self.specs.values()))
        self.seer = Seer(reference.training, asked, registry) if sees else None

    @property
    def has_floors(self) -> bool:
        return any(spec.floor for spec in self.specs.values())

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
        return _side(name, data, order, f"{self.asked.seed} {count}")

    def name(self, metric: str, key: str) -> str:
        """What the score is called: its figure, the features and the number of samples."""
        n = self.asked.samples
        if self.seer is None or not _sees(self.specs[metric]):
            return f"{key}@{_short(n)}"
        plain = self.options[metric] == self.specs[metric].options() and "truncation" not in self.asked.about
        if self.seer.extractor.standard and plain and min(n, self.real.count) >= PUBLISHED:
            return key
        return f"{key}_{self.seer.name}@{_short(n)}"

    def provenance(self, metric: str) -> dict[str, str | int | float]:
        """All one needs to believe a score, or to find it again."""
        options = self.options[metric].model_dump(mode="json")
        return {
            "metric": metric,
            **{f"{metric}.{key}": _plain(value) for key, value in options.items()},
            "samples": self.asked.samples,
            "real": self.real.count,
            "split": self.reference.split,
            "data": self.reference.data.fingerprint,
            "seed": self.asked.seed,
            **self.asked.about,
            **(self.seer.provenance() if self.seer and _sees(self.specs[metric]) else {}),
            "torch": torch.__version__,
        }

    def _check(self, metric: Metric[Any], generated: Sampler) -> None:
        """What can be refused before anything is computed."""
        _require(metric)
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
        case, scorers = self._case(side), dict[str, Scorer]()
        for name, metric in self.specs.items():
            if side.real and not metric.floor:
                continue
            if "logits" in metric.needs and case.extractor and not case.extractor.classes:
                raise GanforgeError(f"metric '{name}' needs a classifier, and '{self.asked.extractor}' gives no logits")
            with attributed(self.registry, "metric", name, "build"):
                scorers[name] = metric.build(self.options[name], case)
        return scorers

    def _case(self, side: Side) -> Case:
        return Case(
            data=self.reference.data,
            samples=side.count,
            seed=self.asked.seed,
            extractor=self.seer.extractor if self.seer else None,
            training=self.reference.training,
            look=self._look,
            generator=None if side.real else self.generator,
            device=self.asked.device,
        )

    def _look(self, data: Data) -> Features:
        """Features of all of a split, in its order."""
        side = _side("real, all of the training split", data, np.arange(len(data)), "all")
        seen = list(self._batches(side, FEATURES))
        logits = [batch.logits for batch in seen if batch.logits is not None]
        features = torch.cat([batch.features for batch in seen if batch.features is not None])
        return Features(features, torch.cat(logits) if logits else None)

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


def default_extractor(registry: Registry) -> str | None:
    """The extractor of the highest rank of those whose modules are installed; None where there is none."""
    ranked = sorted(registry.all("extractor").values(), key=lambda spec: spec.rank, reverse=True)
    installed = (s.name for s in ranked if s.rank > 0 and all(find_spec(module) for module in s.requires))
    return next(installed, None)


def usual_metrics(registry: Registry, data: Data, samples: int) -> list[str]:
    """The metrics where nobody names any, for real data and a number of samples."""
    count = min(samples, len(data))
    fitting = [
        spec for spec in registry.all("metric").values() if ("points" in spec.needs) == (data.spec.kind == "points")
    ]
    usual = [spec for spec in fitting if spec.usual is not None and spec.usual <= count]
    return [spec.name for spec in sorted(usual, key=lambda spec: spec.usual, reverse=True)]


def plain_name(figure: str) -> str:
    """A figure's name without what its metric was set to: `coverage` of `coverage_k5`."""
    return re.sub(r"_k\d+$", "", figure)


class Seer:
    """The extractor, which remembers real sides: in files, each under a hash of all that changes its features."""

    def __init__(self, training: Data, asked: Asked, registry: Registry) -> None:
        if asked.extractor is None:
            raise GanforgeError("these metrics need features: pip install 'ganforge[evaluate]', or --features NAME")
        self.name, self.device, self.registry = asked.extractor, asked.device, registry
        spec: FeatureExtractor[Any] = registry.find("extractor", self.name)
        self.options = parse(spec.options, asked.extractor_options, "features")
        _require(spec)
        with attributed(registry, "extractor", self.name, "build"):
            extractor: Extractor = spec.build(self.options, training)
            self.extractor = extractor.eval().requires_grad_(False).to(self.device)
            self._told = {"weights": extractor.weights, "preprocessing": extractor.preprocessing}
        self._known: Features | None = None
        self._seen: list[Features] = []

    def recall(self, side: Side) -> bool:
        """Begin with a side; whether its features are known."""
        self._known, self._seen = self._read(side), []
        return self._known is not None

    def look(self, side: Side, start: int, n: int, images: Tensor | None) -> Features:
        """Features of the `n` samples from `start` of the side begun with, on the CPU; images of those not known.

        A side is seen in order.
        """
        if self._known:
            rows = slice(start, start + n)
            return Features(*(None if part is None else part[rows] for part in self._known))  # type: ignore[arg-type]
        assert images is not None
        with attributed(self.registry, "extractor", self.name, "forward"):
            features, logits = self.extractor(images)
        seen = Features(features.cpu(), None if logits is None else logits.cpu())
        if side.key:
            self._seen.append(seen)
            if start + n == side.count:
                self._write(side)
        return seen

    def provenance(self) -> dict[str, str | int | float]:
        """Which features these are."""
        options = {f"features.{key}": _plain(v) for key, v in self.options.model_dump(mode="json").items()}
        return {"extractor": self.name, **options, **self._told, **self.extractor.provenance}

    def _read(self, side: Side) -> Features | None:
        if not side.key:
            return None
        try:
            tensors = load_file(self._file(side))
            return Features(tensors["features"], tensors.get("logits"))
        except (OSError, KeyError, SafetensorError):
            return None

    def _write(self, side: Side) -> None:
        """Keep what was seen; where that cannot be, it will be seen again."""
        whole = {"features": torch.cat([seen.features for seen in self._seen])}
        if logits := [seen.logits for seen in self._seen if seen.logits is not None]:
            whole["logits"] = torch.cat(logits)
        self._seen = []
        try:
            with atomic(self._file(side)) as path:
                save_file(whole, path)
        except (GanforgeError, SafetensorError) as error:
            log.warning("features of real samples cannot be kept, and will be computed again: %s", error)

    def _file(self, side: Side) -> Path:
        parts = [side.key, self.provenance(), torch.__version__, self.device]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return cache_directory() / "features" / f"{digest[:32]}.safetensors"


def _side(name: str, data: Data, order: np.ndarray, which: str) -> Side:
    """Real samples in an order, which `which` tells apart from others of the same data."""
    # Only what lies in memory has a fingerprint of its pixels; files that are read again might have changed.
    key = f"{data.fingerprint} {which}" if isinstance(data, ArrayData) else ""
    return Side(name, lambda start, n: data.fetch(order[start : start + n]), len(order), key)


def _require(spec: Metric[Any] | FeatureExtractor[Any]) -> None:
    """Raise ModuleNotFoundError for a module that is not installed: the command line knows what brings it."""
    for module in spec.requires:
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named '{module}'", name=module)


def _sees(metric: Metric[Any]) -> bool:
    """Whether a metric's figures are those of an extractor."""
    return bool((FEATURES | {"extractor"}) & metric.needs)


def _plain(value: Any) -> str | int | float:
    return value if isinstance(value, int | float) else str(value)


def _short(n: int) -> str:
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)
