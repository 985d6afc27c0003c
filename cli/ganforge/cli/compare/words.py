"""Sentences that the page and the Markdown share: what was compared, and how it was judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganforge.cli.compare.playing import Comparison
from ganforge.cli.compare.results import Standing, Trained, title_of


def data_name(comparison: Comparison) -> str:
    """The data set's name, or the folder's."""
    data = comparison.entries[0].config.data
    return Path(str(data.values.get("path", data.name))).name


def question(comparison: Comparison) -> str:
    return f"Which GAN for {data_name(comparison)}?"


def lead(comparison: Comparison) -> str:
    """What every row was given, in one line."""
    first = comparison.entries[0]
    each = f"{comparison.budget / 60:.3g} {comparison.machine.unit} for each training"
    return (
        f"{len(comparison.entries)} rows on {first.data_size:,} {first.data}, {each}, "
        f"{_seeds(comparison)}, {comparison.scoring.samples:,} samples judged"
    )


def _seeds(comparison: Comparison) -> str:
    """How many seeds rows have: as many each, or from the fewest to the most."""
    counts = [len(comparison.seeds_of(entry)) for entry in comparison.entries]
    few, many = min(counts), max(counts)
    return f"{few if few == many else f'{few} to {many}'} seed{'s' * (many != 1)}"


def several_seeds(comparison: Comparison) -> bool:
    return any(len(comparison.seeds_of(entry)) > 1 for entry in comparison.entries)


def how_to_read(comparison: Comparison, rows: Sequence[Sequence[str]]) -> str:
    """What the order of the table's rows is, and what stands in a cell."""
    lead = comparison.scoring.lead
    first = "the modes captured, then by " if lead.first else ""
    seeds = "A figure is the median over a row's seeds, with its range. " if several_seeds(comparison) else ""
    deviates = any("±" in cell for _, *cells in rows for cell in cells)
    one = "What stands behind ± is the deviation that the metric itself gives. " if deviates else ""
    return (
        f"Sorted by {first}{title_of(lead.figure)} ({lead.better} is better). {seeds}{one}"
        "Real data is of the other split, in the generator's place: what a perfect generator would score."
    )


def told_of(standing: Standing, unit: str) -> str:
    """Rounds, time and verdict of a row in one sentence."""
    rounds, minutes, n = standing.over_seeds("rounds"), standing.over_seeds("minutes"), len(standing.trained)
    if not rounds or not minutes:
        return f"Verdict: {standing.verdict}."
    each = f", {n} seeds" if n > 1 else ""
    return f"{rounds.median:,.0f} rounds in {minutes.median:.3g} {unit}{each}. Verdict: {standing.verdict}."


def reasons(standing: Standing) -> list[str]:
    """Why its trainings failed, each reason once, with its seeds."""
    seeds: dict[str, list[str]] = {}
    for one in standing.trained:
        if one.reason:
            seeds.setdefault(one.reason, []).append(str(one.seed))
    return [f"Seed{'s' * (len(n) > 1)} {', '.join(n)} failed: {reason}." for reason, n in seeds.items()]


def pictured(standing: Standing) -> Trained | None:
    """The first training that has a picture."""
    return next((one for one in standing.trained if one.picture), None)


def commands(standing: Standing) -> tuple[str, ...]:
    """How to have the same again, for the row's first training that began."""
    return next((one.commands for one in standing.trained if one.commands), ())


def not_yet(comparison: Comparison, standings: Sequence[Standing]) -> str:
    """Rows of which nothing is known yet, and seeds that are missing."""
    there = {standing.slug: len(standing.trained) for standing in standings}
    wanted = [(entry, len(comparison.seeds_of(entry))) for entry in comparison.entries]
    left = [(entry.row.title, n - there.get(entry.row.slug, 0), n) for entry, n in wanted]
    missing = [title if due == n else f"{title} ({due} of {n} seeds)" for title, due, n in left if due > 0]
    return f"Not trained yet: {', '.join(missing)}." if missing else ""
