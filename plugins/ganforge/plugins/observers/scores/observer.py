"""Scores a game that is being played, and keeps it where it was best."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from typing import Any

from ganforge.core import GanforgeError, RunInfo, RunObserver, checkpoint
from ganforge.core.errors import unknown
from ganforge.core.evaluate import Judge
from ganforge.core.evaluation import Asked, Reference, Side
from ganforge.core.files import atomic_directory, write_text
from ganforge.core.game import Game
from ganforge.core.scoring import default_extractor, plain_name, usual_metrics
from ganforge.plugins.observers.pace import due
from ganforge.plugins.observers.run_files import read_best
from ganforge.plugins.observers.scores import ScoresOptions

log = logging.getLogger("ganforge")


class Scores(RunObserver):
    """One judge for the whole training. A score that cannot be had then is a warning, and no reason to stop."""

    def __init__(self, options: ScoresOptions) -> None:
        self.options = options

    def check(self, info: RunInfo, game: Game) -> None:
        """Build the judge: whatever is wrong with metrics, features or data is said before the first round."""
        reference = Reference(info.load("train"), info.load("test"))
        metrics = self.options.metrics or usual_metrics(info.registry, reference.data, self.options.samples)
        asked = Asked(
            metrics={name: {} for name in metrics},
            extractor=self.options.features or default_extractor(info.registry),
            samples=self.options.samples,
            device=game.device.type,
        )
        generator = game.averaged_generator
        sample = generator.sampler(asked.seed)
        self.judge = Judge(sample, reference, asked, info.registry, generator=generator)
        self.side = Side("generated", sample, asked.samples, real=False)
        self.judge.scorers(self.side)  # too few samples for a metric's options show here
        self.ranks = {figure: best for metric in self.judge.specs.values() for figure, best in metric.best.items()}
        self.ranked = plain_name(self.options.best) or next(iter(self.ranks), "")
        if self.options.best and self.ranked not in self.ranks:
            raise unknown("figure", self.options.best, self.ranks, "observers.scores.best")

    def run_started(self, info: RunInfo) -> None:
        self.info, self.seen = info, info.start
        self.folder = info.directory / "best"
        self.best = self._known()

    def measure(self, game: Game, round_: int) -> Mapping[str, float]:
        before, self.seen = self.seen, round_
        if not due(round_, before, self.options.every, self.info.config.steps):
            return {}
        try:
            (found,) = self.judge.score([self.side])
        except GanforgeError as error:
            log.warning("no score after round %d: %s", round_, error)
            return {}
        named = {(metric, key): self.judge.name(metric, key) for metric, figures in found.items() for key in figures}
        for (metric, key), name in named.items():
            if plain_name(key) == self.ranked and self._is_better(found[metric][key]):
                self._keep(game, {"figure": name, "value": found[metric][key], "round": round_})
        return {f"score/{name}": found[metric][key] for (metric, key), name in named.items()}

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value < self.best if self.ranks[self.ranked] == "lowest" else value > self.best

    def _keep(self, game: Game, score: Mapping[str, Any]) -> None:
        """RUN/best is a run directory with this checkpoint alone, and what it scored."""
        try:
            with atomic_directory(self.folder) as folder:
                checkpoint.save(game, folder / "checkpoints", score["round"], keep=1)
                shutil.copyfile(self.info.directory / "config.toml", folder / "config.toml")
                write_text(folder / "score.json", json.dumps(score, indent=1) + "\n")
            self.best = score["value"]
        except (GanforgeError, OSError) as error:
            log.warning("the best checkpoint is not kept: %s", error)

    def _known(self) -> float | None:
        """The best score up to where the run goes on from. A later one is forgotten: it will come again."""
        score = read_best(self.info.directory)
        return float(score["value"]) if score and score["round"] <= self.info.start else None
