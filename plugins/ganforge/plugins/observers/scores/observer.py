"""Scores a game that is being played, tells where its scores come from, and keeps it where it was best."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ganforge.core import GanforgeError, RunInfo, RunObserver, checkpoint
from ganforge.core.card import Score
from ganforge.core.errors import unknown
from ganforge.core.evaluate import Figures, Judge
from ganforge.core.evaluation import Asked, Reference, Side
from ganforge.core.files import append_line, atomic_directory, write_text
from ganforge.core.game import Game
from ganforge.core.scoring import default_extractor, plain_name, usual_metrics
from ganforge.core.versions import installed
from ganforge.plugins.observers.pace import due
from ganforge.plugins.observers.run_files import read_best, read_lines, rewrite
from ganforge.plugins.observers.scores import ScoresOptions

log = logging.getLogger("ganforge")


class Scores(RunObserver):
    """One judge for the whole training. A score that cannot be had then is a warning, and no reason to stop."""

    def __init__(self, options: ScoresOptions) -> None:
        self.options = options
        self.told: Mapping[str, Any] = {}

    def check(self, info: RunInfo, game: Game) -> None:
        """Build the judge: whatever is wrong with metrics, features or data is said before the first round."""
        reference = Reference(info.load("train"), info.load("test"))
        metrics = self.options.metrics or usual_metrics(info.registry, reference.data, self.options.samples)
        asked = Asked(
            metrics={name: {} for name in metrics},
            extractor=self.options.features or default_extractor(info.registry),
            samples=self.options.samples,
            device=game.device.type,
            about={
                "recipe": info.config.recipe.name,
                "config": info.config.digest(),
                "sampled by": f"torch {installed('torch')}",
            },
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
        self._forget()

    def measure(self, game: Game, round_: int) -> Mapping[str, float]:
        before, self.seen = self.seen, round_
        if not due(round_, before, self.options.every, self.info.config.steps):
            return {}
        try:
            (found,) = self.judge.score([self.side])
            scores = list(self.judge.told(found, self.floors))
        except GanforgeError as error:
            log.warning("no score after round %d: %s", round_, error)
            return {}
        self._tell(round_, {f"score/{score.name}": score.provenance for _, score in scores})
        for figure, score in scores:
            if plain_name(figure) == self.ranked and self._is_better(score.value):
                self._keep(game, score, round_)
        return {f"score/{score.name}": score.value for _, score in scores}

    @cached_property
    def floors(self) -> Figures:
        """What real data scores in the generator's place: the same after every round, so it is asked once."""
        if not (sides := self.judge.floor_sides):
            return {}
        try:
            return self.judge.score(sides)[0]
        except GanforgeError as error:
            log.warning("there is no score of real data beside the generator's: %s", error)
            return {}

    def _tell(self, round_: int, provenance: Mapping[str, Any]) -> None:
        """Write where scores come from: once for all rounds, and again where a resumed run has other libraries."""
        if provenance == self.told:
            return
        try:
            append_line(self.file, json.dumps({"round": round_, "scores": provenance}))
            self.told = provenance
        except GanforgeError as error:
            log.warning("where the scores after round %d come from is not written: %s", round_, error)

    def _forget(self) -> None:
        """Drop what was told of scores after the round that the run goes on from: they will come again."""
        self.file = self.info.directory / "scores.jsonl"
        if self.file.exists():
            kept = [line for line in read_lines(self.file) if line["round"] <= self.info.start]
            rewrite(self.file, kept)
            self.told = kept[-1].get("scores", {}) if kept else {}

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value < self.best if self.ranks[self.ranked] == "lowest" else value > self.best

    def _keep(self, game: Game, score: Score, round_: int) -> None:
        """RUN/best is a run directory with this checkpoint alone, and what it scored."""
        told = {"figure": score.name, "value": score.value, "round": round_, "provenance": score.provenance}
        try:
            with atomic_directory(self.folder) as folder:
                checkpoint.save(game, folder / "checkpoints", round_, keep=1)
                shutil.copyfile(self.info.directory / "config.toml", folder / "config.toml")
                write_text(folder / "score.json", json.dumps(told, indent=1) + "\n")
            self.best = score.value
        except (GanforgeError, OSError) as error:
            log.warning("the best checkpoint is not kept: %s", error)

    def _known(self) -> float | None:
        """The best score up to where the run goes on from. A later one is forgotten: it will come again."""
        score = read_best(self.info.directory)
        return float(score["value"]) if score and score["round"] <= self.info.start else None
