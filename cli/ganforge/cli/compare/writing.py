"""What a comparison comes to: its rows in order and the advice, as compare.json, compare.md and compare.html."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from ganforge.cli.compare import markdown, page, words
from ganforge.cli.compare.advice import Advice, advise, candidate, ranked
from ganforge.cli.compare.playing import Comparison
from ganforge.cli.compare.results import Standing, Trained
from ganforge.core.files import write_text
from ganforge.core.versions import installed, own_version

Key = tuple[str, int]
"""A row's slug and a seed."""


class Written(NamedTuple):
    """The rows, the best first, what to take, and all that compare.json tells."""

    standings: list[Standing]
    advice: Advice
    record: dict[str, Any]


def write(comparison: Comparison, results: Mapping[Key, Trained]) -> Written:
    """Rewrite the three pages from the trainings there are."""
    lead = comparison.scoring.lead
    standings = ranked(_standings(comparison, results), lead)
    advice = advise([candidate(standing, lead) for standing in standings], lead)
    record = _record(comparison, standings, advice)
    write_text(comparison.out / "compare.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    write_text(comparison.out / "compare.md", markdown.render(comparison, standings, advice))
    write_text(
        comparison.out / "compare.html", page.render(comparison, standings, advice, _about(comparison, standings))
    )
    return Written(standings, advice, record)


def _standings(comparison: Comparison, results: Mapping[Key, Trained]) -> list[Standing]:
    """The rows of which anything is known, in the order in which they were asked for."""
    standings = []
    for entry in comparison.entries:
        seeds = (results.get((entry.row.slug, seed)) for seed in comparison.seeds_of(entry))
        if trained := tuple(one for one in seeds if one):
            row, parameters = entry.row, sum(entry.parameters.values())
            standings.append(Standing(row.title, row.slug, row.recipe, row.settings, parameters, trained))
    return standings


def _record(comparison: Comparison, standings: list[Standing], advice: Advice) -> dict[str, Any]:
    """All of it, for programs."""
    entries = {entry.row.slug: entry for entry in comparison.entries}
    first, machine, scoring = comparison.entries[0], comparison.machine, comparison.scoring
    return {
        "versions": versions(),
        "data": {**first.config.data.model_dump(mode="json"), "fingerprint": first.fingerprint},
        "budget": {"seconds": comparison.budget, "of": "CPU" if machine.device == "cpu" else "wall time"},
        "seeds": comparison.seeds,
        "machine": asdict(machine),
        "settings": list(comparison.common.settings),
        "scoring": {**asdict(scoring), "lead": asdict(scoring.lead)},
        "advice": asdict(advice),
        "rows": [
            {
                "name": standing.title,
                "recipe": standing.recipe,
                "settings": list(standing.settings),
                "files": f"rows/{standing.slug}",
                "verdict": standing.verdict,
                "parameters": dict(entries[standing.slug].parameters),
                "figures": {name: spread._asdict() for name in standing.figures if (spread := standing.spread(name))},
                "config": entries[standing.slug].config.model_dump(mode="json", exclude={"steps", "seed"}),
                "trainings": [one.model_dump(mode="json") for one in standing.trained],
            }
            for standing in standings
        ],
        "missing": words.not_yet(comparison, standings),
    }


def versions() -> dict[str, str]:
    """What ran here."""
    return {"ganforge": own_version(), "python": platform.python_version(), "torch": installed("torch") or "none"}


def _about(comparison: Comparison, standings: list[Standing]) -> list[tuple[str, str]]:
    """What one wants to know of how the page was made."""
    first, machine = comparison.entries[0], comparison.machine
    scores = [score for standing in standings for one in standing.trained for score in one.scores]
    by_metric = {str(score.provenance["metric"]): score.provenance for score in scores}
    on_cpu = machine.device == "cpu"
    return [
        ("data", f"{words.data_name(comparison)}: {first.data_size:,} × {first.data}, fingerprint {first.fingerprint}"),
        ("machine", f"{machine.device}; threads of a training: {machine.threads}; trainings at once: {machine.jobs}"),
        (
            "budget",
            f"{comparison.budget:g} seconds of {'CPU, all threads' if on_cpu else 'wall time'}, without scoring",
        ),
        ("settings of all rows", ", ".join(comparison.common.settings) or "none"),
        *(
            (f"score: {metric}", ", ".join(f"{k} {v}" for k, v in by_metric[metric].items() if _general(k)))
            for metric in by_metric
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]


OF_A_ROW = ("metric", "floor", "recipe", "rounds", "config")
"""What a score's provenance tells of the row and not of how rows are scored."""


def _general(key: str) -> bool:
    return key not in OF_A_ROW
