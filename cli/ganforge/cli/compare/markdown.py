"""compare.md: the table and the pictures, for a repository or a page of docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ganforge.cli.compare import table, words
from ganforge.cli.compare.advice import Advice
from ganforge.cli.compare.playing import Comparison
from ganforge.cli.compare.results import Standing


def render(comparison: Comparison, standings: Sequence[Standing], advice: Advice) -> str:
    """The page; its pictures are linked from the folder it lies in."""
    said = [words.lead(comparison) + ".", plain(advice.words), words.not_yet(comparison, standings)]
    headings, rows = table.headings(standings, comparison), table.rows(standings, comparison)
    lines = [f"# {plain(words.question(comparison))}", *said, "\n".join(_table(headings, rows))]
    lines += [words.how_to_read(comparison, rows)]
    for standing in standings:
        lines += _section(standing, comparison.machine.unit)
    return "\n\n".join(line for line in lines if line) + "\n"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for first, *rest in rows:
        name = first if first == table.REAL else code(first)
        yield f"| {' | '.join([name, *map(plain, rest)])} |"


def _section(standing: Standing, unit: str) -> Iterator[str]:
    yield f"## {code(standing.title)}"
    yield words.told_of(standing, unit)
    yield from (plain(reason) for reason in words.reasons(standing))
    if commands := words.commands(standing):
        yield "\n".join(f"    {command}" for command in commands)
    if one := words.pictured(standing):
        yield f"![Samples of {plain(standing.title)}](rows/{standing.slug}/{one.picture})"


def plain(text: str) -> str:
    """Text in which Markdown finds nothing of its own."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)


def code(text: str) -> str:
    """A name as code, also in a table."""
    return f"`{text.replace('`', chr(39)).replace('|', chr(92) + '|')}`"
