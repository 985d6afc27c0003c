"""The rows of a comparison: a recipe with some settings, from the command line or a file, checked before any trains."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ganforge.cli.request import ALL_LENGTHS, request
from ganforge.core.config import Config, parse_settings, read_toml, resolve
from ganforge.core.data import DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.options import Options, parse
from ganforge.core.registry import Registry

NAME_LENGTH = 80
"""Characters of a row's name that its files are named by; a longer one ends in a hash."""

FIXED = {"seed": "--seeds", **dict.fromkeys(ALL_LENGTHS, "--budget")}
"""Settings that the comparison itself makes, and the option which they follow."""

CLOSES = {"]": "[", "}": "{"}


class Row(Options):
    """A recipe with what is set of it, as a table of a file of rows has it."""

    recipe: str
    settings: tuple[str, ...] = ()
    name: str = ""
    seeds: int | None = Field(None, ge=1, description="trainings of this row, where not as many as of the others")

    @property
    def title(self) -> str:
        """What people read: its name, or the recipe and its settings as they were given."""
        given = f"{self.recipe}:{','.join(self.settings)}" if self.settings else self.recipe
        return self.name or given

    @property
    def slug(self) -> str:
        """What its files are named by."""
        plain = re.sub(r"[^A-Za-z0-9._=-]+", "_", self.title).strip("._") or "row"
        digest = hashlib.sha256(self.title.encode()).hexdigest()[:8]
        return plain if len(plain) <= NAME_LENGTH else f"{plain[:NAME_LENGTH]}-{digest}"


@dataclass(frozen=True)
class Common:
    """What all rows are trained with: `flags` of `train` by their keys in the config, and settings of `--set`."""

    flags: Mapping[str, Any]
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A row that was checked: its whole config (of seed 0, without a length), its data, and what its game is like.

    `parameters` counts the weights of each network.
    """

    row: Row
    config: Config
    data: DataSpec
    fingerprint: str
    data_size: int
    labelled: bool
    parameters: Mapping[str, int]


def parse_row(text: str) -> Row:
    """`dcgan:generator.lr=1e-4,generator.betas=[0.0,0.9]` as a row.

    Raises:
        GanforgeError: a bracket or a quote that is not closed, a setting that is none.
    """
    recipe, colon, rest = text.partition(":")
    settings = split_settings(rest, text) if colon else []
    if not recipe or any("=" not in setting for setting in settings):
        raise GanforgeError(f"a row is RECIPE or RECIPE:KEY=VALUE,KEY=VALUE, not '{text}'")
    return Row(recipe=recipe, settings=tuple(settings))


def split_settings(text: str, row: str) -> list[str]:
    """The settings between commas; those within brackets, braces and quotes belong to a value."""
    parts, inside, quote = [""], [""], ""
    for letter in text:
        if letter == "," and not quote and len(inside) == 1:
            parts.append("")
            continue
        parts[-1] += letter
        if quote or letter in "\"'":
            quote = "" if letter == quote else quote or letter
        elif letter in "[{":
            inside.append(letter)
        elif letter in CLOSES and inside.pop() != CLOSES[letter]:
            raise GanforgeError(f"row '{row}': a '{letter}' closes nothing")
    if quote or len(inside) > 1:
        raise GanforgeError(f"row '{row}': a '{quote or inside[-1]}' is not closed")
    return parts


def read_rows(path: Path) -> list[Row]:
    """The rows of a TOML file: a table [[row]] for each, with `recipe`, `settings`, `name` and `seeds`.

    Raises:
        GanforgeError: it cannot be read, or holds anything else.
    """
    values = read_toml(path)
    tables = values.pop("row", None)
    if values or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise GanforgeError(f"{path} is no file of rows: it has a table [[row]] for each, and nothing else")
    return [parse(Row, table, f"{path}: row {number}") for number, table in enumerate(tables, start=1)]


def gather(texts: Iterable[str], file: Path | None) -> list[Row]:
    """All rows, those of the command line first.

    Raises:
        GanforgeError: there is none, or two would be kept under one name.
    """
    rows = [*map(parse_row, texts), *(read_rows(file) if file else [])]
    if not rows:
        raise GanforgeError("a comparison needs rows: name recipes, or a file of rows with --rows")
    known: dict[str, Row] = {}
    for row in rows:
        if (other := known.setdefault(row.slug, row)) is not row:
            both = f"'{row.title}'" if row.title == other.title else f"'{other.title}' and '{row.title}'"
            raise GanforgeError(f"two rows are kept under the name {both}: give one another name in a file for --rows")
    return rows


def check_all(rows: Iterable[Row], common: Common, registry: Registry) -> tuple[Entry, ...]:
    """Every row, checked.

    Raises:
        GanforgeError: something is wrong with one of them, or they do not train on the same data.
    """
    first, *others = [check(row, common, registry) for row in rows]
    for entry in others:
        if (entry.data, entry.fingerprint) != (first.data, first.fingerprint):
            raise GanforgeError(
                f"row '{entry.row.title}': it trains on other data than '{first.row.title}'; "
                "say what the data is for all rows, with options or --set"
            )
    return (first, *others)


def check(row: Row, common: Common, registry: Registry) -> Entry:
    """Resolve a row's config and build its game once, so that what is wrong is known before anything is trained.

    Raises:
        GanforgeError: any unknown name, bad value, network that cannot be built or recipe that cannot be scored; the
            row is named.
    """
    try:
        return _entry(row, common, registry)
    except GanforgeError as error:
        raise GanforgeError(f"row '{row.title}': {error}") from error


def _entry(row: Row, common: Common, registry: Registry) -> Entry:
    from ganforge.core.run import build_game

    settings = [*common.settings, *row.settings]
    _check_free(settings)
    config, data = resolve(request(None, {"recipe": row.recipe, **common.flags}, settings), registry)
    game = build_game(config, data.spec, registry)
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in game.networks.items()}
    labelled = game.averaged_generator.labelled  # a game that makes nothing of latents says that it cannot be scored
    return Entry(row, config, data.spec, data.fingerprint, len(data), labelled, parameters)


def _check_free(settings: Sequence[str]) -> None:
    for key in parse_settings(settings):
        if key in FIXED:
            raise GanforgeError(f"setting '{key}' follows {FIXED[key]} in a comparison: leave it out")
