"""The commands that make a row: what is run here, and what a reader copies to have the same."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from ganforge.cli.compare.asked import CONDITIONAL, JUDGE, Scoring, grid_size
from ganforge.cli.compare.rows import Common, Entry

POINTS = 10
"""Scores on the way, checkpoints and pictures of every training."""

RECORDS, SPARSE = 40, 50
"""Lines of metrics.jsonl that a training has at least, and rounds between two that are enough."""

CHECKUPS, OFTEN = 100, 100
"""Measurements of a training's health at most, and rounds between two that are often enough."""


def train(entry: Entry, common: Common, rounds: int, seed: int, out: Path, watching: Sequence[str] = ()) -> list[str]:
    """The training as a reader would make it again; `watching` flags change nothing of what is learned."""
    return [*_training(entry, common, watching), "--steps", str(rounds), "--seed", str(seed), "--out", str(out)]


def measure(entry: Entry, common: Common, budget: float) -> list[str]:
    """The question how many rounds of a training fit into a budget in seconds."""
    return [*_training(entry, common), "--budget", f"{budget}s", "--dry-run", "--json"]


def _training(entry: Entry, common: Common, watching: Sequence[str] = ()) -> list[str]:
    """A training without its length."""
    settings = _set(*common.settings, *entry.row.settings)
    return ["train", entry.row.recipe, *_flags(common), *watching, *settings]


def _flags(common: Common) -> list[str]:
    data, machine = common.flags["data"], common.flags["machine"]
    given = {
        "--data": data["name"],
        "--resolution": data["resolution"],
        "--data-root": data["root"],
        "--device": machine["device"],
        "--precision": machine["precision"],
        "--threads": machine["threads"],
    }
    words = [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    return [*words, "--download"] if data["download"] else words


def _set(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def watching(rounds: int, scoring: Scoring) -> list[str]:
    """What every training writes on its way, as often in all rows: records, pictures, checkpoints, health, and the
    leading score."""
    every = {"every": stretch(rounds), "evaluate-every": stretch(rounds)}
    every["log-every"] = max(1, min(SPARSE, rounds // RECORDS))
    settings = [
        *("observers.gif=false", "observers.tensorboard=false"),
        f"observers.health.every={max(OFTEN, rounds // CHECKUPS)}",
        f"observers.scores.metrics={json.dumps([scoring.leader])}",
        f"observers.scores.samples={scoring.curve_samples}",
        *([f"observers.scores.features={scoring.features}"] if scoring.features else []),
    ]
    return [*(word for flag, n in every.items() for word in (f"--{flag}", str(n))), *_set(*settings)]


def stretch(rounds: int) -> int:
    """Rounds between two points of a curve, the last of which is at the end."""
    return math.ceil(rounds / POINTS)


def evaluate(run: Path, entry: Entry, scoring: Scoring) -> list[list[str]]:
    """Judging a run: by the metrics chosen and, where it takes labels, whether its samples show them."""
    judged = ["evaluate", str(run), "--samples", str(scoring.samples)]
    judged += [] if scoring.device == "auto" else ["--device", scoring.device]
    features = ["--features", scoring.features] if scoring.features else []
    commands = [[*judged, "--metrics", ",".join(scoring.metrics), *features]]
    if entry.labelled and entry.data.kind == "images" and CONDITIONAL not in scoring.metrics:
        # Its floor is then of the held-out split, which the classifier has not learned from.
        commands.append([*judged, "--metrics", CONDITIONAL, "--features", JUDGE, "--split", "train"])
    return commands


def sample(run: Path, entry: Entry, picture: Path) -> list[str]:
    return ["sample", str(run), "--n", str(grid_size(entry)), "--seed", "1", "--out", str(picture)]


def written(command: Sequence[str], plugins: Sequence[str]) -> str:
    """A command as one types it."""
    return shlex.join(["ganforge", *command, *(word for plugin in plugins for word in ("--plugin", plugin))])
