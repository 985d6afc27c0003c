"""The table of a comparison: the same cells for the page, the Markdown and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ganforge.cli.compare.playing import Comparison
from ganforge.cli.compare.results import Spread, Standing, short, title_of
from ganforge.core.scoring import plain_name

REAL = "real data"


def columns(standings: Sequence[Standing], comparison: Comparison) -> list[str]:
    """The figures of the table, the leading one first; a deviation or a whole stands beside what it is of."""
    found = dict.fromkeys(figure for standing in standings for figure in standing.figures)
    lead = comparison.scoring.lead.figure
    rest = [figure for figure in found if plain_name(figure) != lead and not figure.endswith(("_std", "_of"))]
    return [lead, *rest]


def headings(standings: Sequence[Standing], comparison: Comparison) -> list[str]:
    figures = [title_of(figure) for figure in columns(standings, comparison)]
    return ["row", "verdict", *figures, "rounds", comparison.machine.unit, "images/s", "parameters"]


def rows(standings: Sequence[Standing], comparison: Comparison) -> list[list[str]]:
    """A row for real data in the generator's place, where it was scored, then one for each of `standings`."""
    figures = columns(standings, comparison)
    floors = [_floor(standings, figure) for figure in figures]
    real = [[REAL, "", *floors, *[""] * 4]] if any(floors) else []
    return [*real, *(_row(standing, figures) for standing in standings)]


def _floor(standings: Sequence[Standing], figure: str) -> str:
    floors = (one.floor(figure) for standing in standings for one in standing.trained)
    return next((short(floor) for floor in floors if floor is not None), "")


def _row(standing: Standing, figures: Sequence[str]) -> list[str]:
    rounds, minutes, speed = map(standing.over_seeds, ("rounds", "minutes", "images_per_second"))
    return [
        standing.title,
        verdict_text(standing),
        *(figure_text(standing, figure) for figure in figures),
        f"{rounds.median:,.0f}" if rounds else "",
        f"{minutes.median:.3g}" if minutes else "",
        f"{speed.median:,.0f}" if speed else "",
        parameters_text(standing.parameters),
    ]


def figure_text(standing: Standing, figure: str) -> str:
    """A figure's median and range over the seeds; with one seed the metric's own deviation, if it has one."""
    found, deviation = standing.spread(figure), standing.spread(f"{figure}_std")
    if found is None:
        return ""
    if found.low < found.high:
        return f"{short(found.median)} ({range_text(found)})"
    return short(found.median) + (f" ± {short(deviation.median)}" if deviation else "")


def range_text(found: Spread) -> str:
    return f"{short(found.low)} to {short(found.high)}"


def parameters_text(parameters: int) -> str:
    return f"{parameters / 1e6:.2f}M" if parameters >= 1e6 else f"{parameters / 1e3:.0f}k"


def verdict_text(standing: Standing) -> str:
    """The worst verdict of a row's seeds, and of how many."""
    n, of = sum(one.verdict == standing.verdict for one in standing.trained), len(standing.trained)
    return standing.verdict if n == of else f"{standing.verdict} ({n} of {of} seeds)"
