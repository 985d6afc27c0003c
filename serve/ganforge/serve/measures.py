"""Figures a server keeps of itself, and their text for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """How many observations fell below each bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass
class Tally:
    """How often, and how long in all: nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.ns += round(seconds * 1e9)

    def as_json(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass
class ModelStats:
    """What one version of a model has done since the server started, through all its reloads."""

    images: int = 0
    executions: int = 0
    refused: int = 0
    abandoned: int = 0
    last: float = 0.0
    success: Tally = field(default_factory=Tally)
    fail: Tally = field(default_factory=Tally)
    queue: Tally = field(default_factory=Tally)
    infer: Tally = field(default_factory=Tally)
    batches: dict[int, Tally] = field(default_factory=dict)
    batch_images: Histogram = field(default_factory=lambda: Histogram(BATCHES))
    queue_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    infer_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))

    def ran(self, size: int, seconds: float) -> None:
        """A batch of `size` samples went through the network."""
        self.images += size
        self.executions += 1
        self.infer.add(seconds)
        self.batches.setdefault(size, Tally()).add(seconds)
        self.batch_images.observe(size)
        self.infer_seconds.observe(seconds)

    def waited(self, seconds: float) -> None:
        """A request left the queue for a batch."""
        self.queue.add(seconds)
        self.queue_seconds.observe(seconds)


class RequestStats:
    """What the server has answered, by route: a client's own words never become a label."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, Histogram] = {}
        self.in_flight = 0

    def add(self, route: str, status: int, seconds: float) -> None:
        self.answered[route, status] = self.answered.get((route, status), 0) + 1
        self.seconds.setdefault(route, Histogram(SECONDS)).observe(seconds)


class Exposition:
    """Prometheus' text format, version 0.0.4."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(self, name: str, kind: str, says: str, values: Iterable[tuple[Mapping[str, str], float]]) -> None:
        """A counter or a gauge, with a value for each set of labels."""
        self._head(name, kind, says)
        self._lines += [f"{name}{_labels(labels)} {_exactly(value)}" for labels, value in values]

    def histograms(self, name: str, says: str, values: Iterable[tuple[Mapping[str, str], Histogram]]) -> None:
        self._head(name, "histogram", says)
        for labels, histogram in values:
            below = 0
            for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
                below += count
                le = "+Inf" if bound == float("inf") else f"{bound:g}"
                self._lines.append(f"{name}_bucket{_labels({**labels, 'le': le})} {below}")
            self._lines.append(f"{name}_sum{_labels(labels)} {_exactly(histogram.sum)}")
            self._lines.append(f"{name}_count{_labels(labels)} {below}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _head(self, name: str, kind: str, says: str) -> None:
        self._lines += [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]


def _exactly(value: float) -> str:
    """Every digit: a counter that is rounded stands still and then jumps."""
    return str(int(value)) if value == int(value) else repr(value)


def _labels(labels: Mapping[str, str]) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
