"""Curves as inline SVG, smoothed over the faint raw line: on the bottom axis rounds, and on the top epochs, or time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal

import numpy as np

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 66, WIDTH - 16, 50, HEIGHT - 54
COLOURS = 6
POINTS = 240
SMOOTH_FROM = 60


@dataclass(frozen=True)
class Line:
    """A named curve: values [n] at rounds [n], or at what the chart says; a value that is not finite breaks it."""

    label: str
    rounds: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Mark:
    """A level that means something (`low` == `high`), or a band."""

    kind: Literal["even", "healthy"]
    label: str
    low: float
    high: float


@dataclass(frozen=True)
class Chart:
    """Curves that share an axis. `name` is the element's id in the page.

    The vertical axis covers the figures in `covers`; `log` makes it logarithmic where all that it covers is above 0 and
    spans more than a decade. `across` says what the horizontal one counts.
    """

    name: str
    title: str
    note: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    covers: Sequence[float] = ()
    log: bool = False
    across: str = "rounds"


@dataclass(frozen=True)
class Scale:
    """From figures to pixels along one axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        low, high, v = self.low, self.high, np.asarray(values, dtype=np.float64)
        if self.log:
            low, high, v = math.log10(low), math.log10(high), np.log10(np.maximum(v, self.low / 1e3))
        return np.asarray(self.start + (v - low) / (high - low) * (self.end - self.start))

    def ticks(self, n: int = 5) -> list[float]:
        """About `n` round numbers within the scale; on a logarithmic one powers of ten, or 1, 2 and 5 times such."""
        if self.log:
            decades = math.log10(self.high / self.low)
            factors = (1, 2, 5) if decades <= 2 else (1,)
            lowest, highest = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            powers = range(lowest, highest + 1, math.ceil(decades / n))
            ticks = [factor * 10.0**power for power in powers for factor in factors]
            return [tick for tick in ticks if self.low <= tick <= self.high]
        step = _round_step((self.high - self.low) / n)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(raw: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least `raw`."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def short(value: float) -> str:
    """A figure as people write it on an axis or in a legend: 12k, 1.5M, 0.05, 2e-06."""
    if not math.isfinite(value):
        return str(value)
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def smooth(values: np.ndarray) -> np.ndarray:
    """Running mean of the finite values, with exponentially fading weights, over a fortieth of the points."""
    keep = 1 - 1 / max(1.0, len(values) / 40)
    smoothed, total, weight = np.full(len(values), np.nan), 0.0, 0.0
    for i, value in enumerate(values):
        if math.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1
            smoothed[i] = total / weight
    return smoothed


def thin(line: Line, points: int = POINTS) -> Line:
    """The line with about `points` points: the lowest and highest of each stretch, so that peaks stay."""
    if len(line.rounds) <= points:
        return line
    keep: set[int] = {0, len(line.rounds) - 1}
    for stretch in np.array_split(np.arange(len(line.rounds)), points // 2):
        values = line.values[stretch]
        broken = ~np.isfinite(values)
        if broken.any():
            keep.add(int(stretch[broken.argmax()]))
        if not broken.all():
            keep |= {int(stretch[np.nanargmin(values)]), int(stretch[np.nanargmax(values)])}
    chosen = np.array(sorted(keep))
    return replace(line, rounds=line.rounds[chosen], values=line.values[chosen])


def bounds(chart: Chart) -> tuple[float, float, bool]:
    """Lowest and highest figure of the vertical axis, and whether it is logarithmic."""
    values = np.concatenate([line.values for line in chart.lines])
    values = values[np.isfinite(values)]
    needed = [*chart.covers, *(level for mark in chart.marks for level in (mark.low, mark.high))]
    whole = np.concatenate([values, needed])
    if chart.log and len(whole) and whole.min() > 0 and whole.max() / whole.min() > 10:
        return float(whole.min() / 1.3), float(whole.max() * 1.3), True
    figures = [*_usual_range(values), *needed] or [0.0, 1.0]
    low, high = min(figures), max(figures)
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin, False


def _usual_range(values: np.ndarray) -> list[float]:
    """Lowest and highest value; without the outermost hundredths where those would flatten the rest."""
    if not len(values):
        return []
    inner = [float(value) for value in np.percentile(values, (1, 99))]
    outer = [float(values.min()), float(values.max())]
    return inner if outer[1] - outer[0] > 3 * (inner[1] - inner[0]) > 0 else outer


def draw(chart: Chart, epochs_per_round: float | None = None) -> str:
    """The chart as one <svg> element, with a second axis where epochs are known; the caller gives it a legend."""
    low, high, log = bounds(chart)
    x = Scale(0, max(float(line.rounds.max()) for line in chart.lines) or 1.0, LEFT, RIGHT)
    y = Scale(low, high, BOTTOM, TOP, log)
    above = 0 if epochs_per_round is not None else TOP - 10
    parts = [
        f'<svg viewBox="0 {above} {WIDTH} {HEIGHT - above}" role="img" aria-label="{escape(_spoken(chart))}">',
        f'<clipPath id="clip-{chart.name}"><rect x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}"'
        f' height="{BOTTOM - TOP}"/></clipPath>',
        *_axes(x, y, chart.across, epochs_per_round),
        f'<g clip-path="url(#clip-{chart.name})">',
        *(_mark(mark, y) for mark in chart.marks),
        *_curves(chart, x, y),
        "</g></svg>",
    ]
    return "".join(parts)


def _spoken(chart: Chart) -> str:
    last = ", ".join(f"{line.label} {short(float(line.values[-1]))}" for line in chart.lines)
    return f"{chart.title} over {chart.across}; last figures: {last}"


def _axes(x: Scale, y: Scale, across: str, epochs_per_round: float | None) -> Iterator[str]:
    for value in y.ticks():
        at = f"{float(y(value)):.1f}"
        yield f'<path class="grid" d="M{LEFT} {at}H{RIGHT}"/>'
        yield f'<text x="{LEFT - 8}" y="{at}" dy=".35em" text-anchor="end">{short(value)}</text>'
    yield f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>'
    yield f'<g class="across">{"".join(_ticks(x, BOTTOM, 5, 22))}{_axis_title(HEIGHT - 6, across)}</g>'
    if epochs_per_round is not None:
        epochs = replace(x, high=x.high * epochs_per_round)
        yield f'<path class="axis" d="M{LEFT} {TOP}H{RIGHT}"/>'
        yield f'<g class="epochs">{"".join(_ticks(epochs, TOP, -5, -10))}{_axis_title(14, "epochs")}</g>'


def _ticks(x: Scale, line: int, length: int, text: int) -> Iterator[str]:
    for value in x.ticks():
        at = f"{float(x(value)):.1f}"
        yield f'<path class="axis" d="M{at} {line}v{length}"/>'
        yield f'<text x="{at}" y="{line + text}" text-anchor="middle">{short(value)}</text>'


def _axis_title(y: int, text: str) -> str:
    return f'<text class="title" x="{(LEFT + RIGHT) / 2}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _mark(mark: Mark, y: Scale) -> str:
    low, high = float(y(mark.low)), float(y(mark.high))
    if mark.kind == "even":
        return f'<path class="even" d="M{LEFT} {low:.1f}H{RIGHT}"/>'
    box = f'x="{LEFT}" y="{high:.1f}" width="{RIGHT - LEFT}" height="{low - high:.1f}"'
    return f'<rect class="healthy" {box}/>'


def _curves(chart: Chart, x: Scale, y: Scale) -> Iterator[str]:
    for i, line in enumerate(chart.lines):
        colour = f"c{i % COLOURS}"
        if len(line.rounds) < SMOOTH_FROM:
            yield f'<path class="line {colour}" d="{_path(line, x, y)}"/>'
        else:
            yield f'<path class="raw {colour}" d="{_path(thin(line), x, y)}"/>'
            smoothed = thin(replace(line, values=smooth(line.values)))
            yield f'<path class="line {colour}" d="{_path(smoothed, x, y)}"/>'


def _path(line: Line, x: Scale, y: Scale) -> str:
    """SVG path data; a single point is a line of no length, which the round caps show as a dot."""
    pieces, drawing = [], False
    # Far outside the frame is cut off anyway, and browsers dislike huge coordinates.
    heights = np.clip(y(line.values), -HEIGHT, 2 * HEIGHT)
    for across, up, finite in zip(x(line.rounds), heights, np.isfinite(line.values), strict=True):
        if finite:
            pieces.append(f"L{across:.1f} {up:.1f}" if drawing else f"M{across:.1f} {up:.1f}h0")
        drawing = finite
    return "".join(pieces)


def outside(chart: Chart) -> int:
    """How many finite values the vertical axis cuts off."""
    low, high, _ = bounds(chart)
    values = np.concatenate([line.values for line in chart.lines])
    return int(((values < low) | (values > high))[np.isfinite(values)].sum())
