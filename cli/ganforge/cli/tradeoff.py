"""`ganforge evaluate --truncations`: what quality costs in variety, as latents are kept nearer and nearer to zero.

Brock, Donahue and Simonyan 2019 (BigGAN, arXiv 1809.11096, section 3.1) score a generator at one truncation after
another, and draw the Fréchet distance against the inception score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganforge.cli.common import print_table
from ganforge.core.errors import GanforgeError
from ganforge.core.files import write_text
from ganforge.core.latents import Latent

if TYPE_CHECKING:
    from ganforge.core.card import Score

METRICS = "fid,inception-score"
"""Metrics where nobody names any: the first goes up, the second across."""

FILE = "trade-off.svg"
WIDTH, HEIGHT = 560, 400
LEFT, RIGHT, TOP, BOTTOM = 76, WIDTH - 24, 24, HEIGHT - 56

Curve = Sequence[Sequence["Score"]]
"""The scores at each threshold, from the lowest one up; those of real data are told with the first."""


def thresholds(text: str | None, truncation: float | None, out: Path | None, latent: Latent) -> list[float]:
    """The thresholds in `text`, rising; none where there is no text.

    Raises:
        GanforgeError: not two numbers above zero, a latent that no such threshold truncates, options that do not go
            together.
    """
    if text is None:
        if out is not None:
            raise GanforgeError("--out is where the curve of --truncations goes; name its thresholds")
        return []
    if truncation is not None:
        raise GanforgeError("give either --truncation or --truncations, not both")
    if out is not None and (out.suffix or out.is_file()):
        raise GanforgeError(f"--truncations draws {FILE} in a folder; give --out a folder, not {out}")
    found = sorted(set(map(_number, text.split(","))))
    if len(found) < 2:
        raise GanforgeError("--truncations takes at least two thresholds, as in 0.25,0.5,1,2")
    _check_latent(latent, found[-1])
    return found


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise GanforgeError(f"--truncations takes numbers above zero, as in 0.25,0.5,1,2, not '{text.strip()}'")
    return value


def _check_latent(latent: Latent, highest: float) -> None:
    if latent.name == "sphere":
        raise GanforgeError("--truncations: latents of this generator are on a sphere, which has no tails to truncate")
    bounds = {"uniform": 1.0, "truncated-normal": latent.truncation}
    if highest > (bound := bounds.get(latent.name, math.inf)):
        raise GanforgeError(
            f"--truncations: latents of this generator, {latent.name}, stay below {bound:g} anyway; "
            f"leave out {highest:g}"
        )


def show(curve: Curve) -> None:
    """A table with a row for each threshold, and one for real data where it was scored."""
    rows = [[_threshold(scores[0]), *(f"{score.value:.4g}" for score in scores)] for scores in curve]
    floors = [score.provenance.get("floor") for score in curve[0]]
    if any(floor is not None for floor in floors):
        rows.append(["real data", *("" if floor is None else f"{floor:.4g}" for floor in floors)])
    print_table(("truncation", *(score.name for score in curve[0])), rows)


def write(curve: Curve, out: Path) -> Path:
    """Draw the curve in a folder; returns the file."""
    write_text(out / FILE, draw(curve))
    return out / FILE


def draw(curve: Curve) -> str:
    """One self-contained SVG: the first figure of the first metric against that of the second, or of the threshold
    where there is only one metric; each point labelled by its threshold."""
    figures = [
        [next(group) for _, group in groupby(scores, lambda score: score.provenance["metric"])] for scores in curve
    ]
    up = np.array([one[0].value for one in figures])
    if len(figures[0]) > 1:
        across, name = np.array([one[1].value for one in figures]), figures[0][1].name
    else:
        across, name = np.array([float(_threshold(one[0])) for one in figures]), "truncation"
    x, y = Axis(across, LEFT, RIGHT), Axis(up, BOTTOM, TOP)
    places = [(x(one), y(other)) for one, other in zip(across, up, strict=True)]
    title = f"{figures[0][0].name} against {name}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_axes(x, y, name, figures[0][0].name),
        f'<polyline fill="none" stroke="#3465a4" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places)}"/>',
        *(_point(*place, _threshold(scores[0])) for place, scores in zip(places, curve, strict=True)),
        "</svg>\n",
    ]
    return "\n".join(parts)


class Axis:
    """From figures to pixels between two ends, with room beyond the outermost figures."""

    def __init__(self, values: np.ndarray, start: float, end: float) -> None:
        room = 0.1 * float(np.ptp(values)) or 0.1 * abs(float(values[0])) or 1.0
        self.low, self.high, self.start, self.end = values.min() - room, values.max() + room, start, end

    def __call__(self, value: float) -> float:
        return float(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start))

    def ticks(self) -> list[float]:
        """Three to eight round numbers."""
        raw = (self.high - self.low) / 8
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= raw)
        return [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def _axes(x: Axis, y: Axis, across: str, up: str) -> Iterator[str]:
    for tick in x.ticks():
        yield f'<path d="M{x(tick):.1f} {BOTTOM}V{TOP}" stroke="#ddd"/>'
        yield f'<text x="{x(tick):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{tick:.6g}</text>'
    for tick in y.ticks():
        yield f'<path d="M{LEFT} {y(tick):.1f}H{RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.6g}</text>'
    yield f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#555"/>'
    yield f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(across)}</text>'
    middle = (TOP + BOTTOM) / 2
    yield f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">{escape(up)}</text>'


def _point(x: float, y: float, label: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#3465a4"/>'
        f'<text x="{x + 7:.1f}" y="{y - 7:.1f}">{escape(label)}</text>'
    )


def _threshold(score: Score) -> str:
    return f"{score.provenance['truncation']:g}"
