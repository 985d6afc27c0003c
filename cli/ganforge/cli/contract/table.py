"""The findings as Markdown: a mark or a footnote in every cell, and the footnotes in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ganforge.cli.contract.recipe import Outcome


class Notes:
    """Reasons, numbered in the order in which they first come up."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def mark(self, outcome: Outcome) -> str:
        if outcome.state == "holds":
            return "✓"
        number = self.numbers.setdefault(outcome.words, len(self.numbers) + 1)
        return f"✗ [{number}]" if outcome.state == "fails" else f"[{number}]"

    def lines(self) -> list[str]:
        return [f"{number}. {words}" for words, number in self.numbers.items()]


def promises(found: Mapping[str, Mapping[str, Outcome]], columns: Sequence[str]) -> list[str]:
    """A row for each recipe, a column for each promise."""
    notes = Notes()
    rows = [[f"`{recipe}`", *(notes.mark(outcomes[name]) for name in columns)] for recipe, outcomes in found.items()]
    return [*_table(["recipe", *columns], rows), "", *notes.lines()]


def conditionings(found: Mapping[str, Iterable[tuple[str, str, Outcome]]], columns: Sequence[str]) -> list[str]:
    """A row for each recipe and generator's conditioning, a column for each discriminator's."""
    notes = Notes()
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for recipe, outcomes in found.items():
        for generator, discriminator, outcome in outcomes:
            cells.setdefault((recipe, generator), {})[discriminator] = notes.mark(outcome)
    rows = [[f"`{recipe}`", generator, *(row[c] for c in columns)] for (recipe, generator), row in cells.items()]
    return [*_table(["recipe", "generator", *columns], rows), "", *notes.lines()]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
