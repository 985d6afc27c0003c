"""compare.html: one self-contained page, in the look of a run's report."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from ganforge.cli.compare import table, words
from ganforge.cli.compare.advice import Advice
from ganforge.cli.compare.playing import Comparison
from ganforge.cli.compare.results import Point, Standing, Trained, short, title_of
from ganforge.plugins.observers.report.charts import COLOURS, Chart, Line, Mark
from ganforge.plugins.observers.report.page import alarm_list, chart_figure, embedded, style
from ganforge.plugins.observers.run_files import open_picture

SIDE = 640
"""Pixels of a picture in the page, at most."""


def render(
    comparison: Comparison, standings: Sequence[Standing], advice: Advice, about: Sequence[tuple[str, str]]
) -> str:
    """The whole page; `standings` are in their order, `about` says how it was made."""
    rows = table.rows(standings, comparison)
    skeleton = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return skeleton.substitute(
        style=style(),
        title=escape(words.question(comparison)),
        lead=escape(words.lead(comparison)),
        advice=escape(advice.words),
        missing=_paragraph(words.not_yet(comparison, standings)),
        reading=escape(words.how_to_read(comparison, rows)),
        headings="".join(f'<th scope="col">{escape(name)}</th>' for name in table.headings(standings, comparison)),
        rows="".join(_table_row(cells, advice) for cells in rows),
        charts="".join(chart_figure(chart) for chart in charts(comparison, standings)) or _paragraph(NO_CURVES),
        samples="".join(_samples(comparison, standing) for standing in standings),
        details="".join(_details(standing, comparison.machine.unit) for standing in standings),
        about="".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in about),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


NO_CURVES = "No scores were taken on the way."


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def _table_row(cells: Sequence[str], advice: Advice) -> str:
    first, *rest = cells
    told = "".join(_cell(text) for text in rest)
    kind = "real" if first == table.REAL else "taken" if first == advice.take else "row"
    return f'<tr class="{kind}"><th scope="row">{escape(first)}</th>{told}</tr>'


def _cell(text: str) -> str:
    """What stands in parentheses is on a line of its own, so that the table is narrow."""
    figure, _, range_ = text.partition(" (")
    return f"<td>{escape(figure)}{f'<small>{escape(range_[:-1])}</small>' if range_ else ''}</td>"


def charts(comparison: Comparison, standings: Sequence[Standing]) -> Iterator[Chart]:
    """The leading score over time, as many rows in a chart as there are colours, the best first."""
    curves = [(standing.title, curve) for standing in standings if (curve := _curve(standing.trained))]
    scoring, marks = comparison.scoring, _floor(comparison, standings)
    falls = scoring.lead.better == "lower"
    over = "the median over the seeds, " if words.several_seeds(comparison) else ""
    # A KID of real data of 0 or less has no place on the axis that tells good rows apart.
    shown = [mark for mark in marks if not falls or mark.low > 0]
    told = "".join(f"; {mark.label}" for mark in marks if mark not in shown)
    covers = [point.value for _, curve in curves for point in curve]
    for number, start in enumerate(range(0, len(curves), COLOURS)):
        part = curves[start : start + COLOURS]
        places = f", places from {start + 1}" if len(curves) > COLOURS else ""
        yield Chart(
            name=f"score-{number}",
            title=f"{title_of(scoring.lead.figure)}{places}",
            note=f"{scoring.curve_samples:,} samples each time, {over}{scoring.lead.better} is better{told}.",
            lines=[_line(title, curve) for title, curve in part],
            marks=shown,
            covers=covers,
            log=falls,
            across=comparison.machine.unit,
        )


def _curve(trained: Sequence[Trained]) -> list[Point]:
    """The median over the seeds at each point that all of those with a curve have."""
    curves = [one.curve for one in trained if one.curve]
    return [Point(*map(statistics.median, zip(*points, strict=True))) for points in zip(*curves, strict=False)]


def _line(title: str, curve: Sequence[Point]) -> Line:
    minutes, values = np.array(curve, dtype=np.float64).T
    return Line(title, minutes, values)


def _floor(comparison: Comparison, standings: Sequence[Standing]) -> list[Mark]:
    """What real data scores, where that does not depend on the number of samples or is of the same number."""
    lead, scoring = comparison.scoring.lead.figure, comparison.scoring
    floors = (one.floor(lead) for standing in standings for one in standing.trained)
    floor = next((floor for floor in floors if floor is not None), None)
    if floor is None or (lead != "kid" and scoring.curve_samples != scoring.samples):
        return []
    return [Mark("even", f"{table.REAL}: {short(floor)}", floor, floor)]


def _samples(comparison: Comparison, standing: Standing) -> str:
    """A row's picture under its name."""
    one = words.pictured(standing)
    path = comparison.out / "rows" / standing.slug / one.picture if one else None
    picture = open_picture(path, SIDE) if path else None
    image = embedded(picture, f"Samples of {standing.title}") if picture else "<p>No picture.</p>"
    return f"<figure>{image}<figcaption>{escape(standing.title)}</figcaption></figure>"


def _details(standing: Standing, unit: str) -> str:
    """A row's verdict, what its alarms say, and its commands."""
    alarms = "".join(_alarms(standing, one) for one in standing.trained if one.alarms)
    reasons = "".join(_paragraph(reason) for reason in words.reasons(standing))
    commands = "".join(f"<dd><code>{escape(command)}</code></dd>" for command in words.commands(standing))
    verdict = f'<span class="status" data-state="{standing.verdict}">{standing.verdict}</span>'
    return (
        f"<article><h3>{escape(standing.title)} {verdict}</h3>"
        f"{_paragraph(words.told_of(standing, unit))}{reasons}{alarms}"
        f'<dl class="commands">{commands}</dl></article>'
    )


def _alarms(standing: Standing, one: Trained) -> str:
    """What a training's alarms say, with its seed where the row has several."""
    seed = _paragraph(f"Seed {one.seed}, {one.verdict}:") if len(standing.trained) > 1 else ""
    return seed + alarm_list(one.alarms)
