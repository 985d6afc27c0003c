"""What a lower precision costs in scores: the file's and its run's, on the same seeds and beside the same real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.cli.subject import Subject, load_splits, of_model, open_subject
from ganforge.core.registry import default_registry
from ganforge.core.scoring import default_extractor, usual_metrics

if TYPE_CHECKING:
    from ganforge.core.card import Score
    from ganforge.serve import Model

SEED = 0


def costing(directory: Path, samples: int, quiet: bool) -> Callable[[Model], list[Score]]:
    """What scores a file by the usual metrics; the run's own score is each one's `fp32`.

    Raises:
        GanforgeError: the data that the run was trained on is not there.
    """
    from ganforge.cli.watching import watching
    from ganforge.core.evaluate import evaluate
    from ganforge.core.evaluation import Asked, Reference

    registry = default_registry()
    run = open_subject(directory, SEED, None, "auto")
    reference = Reference(*load_splits(run, None, {}, registry), floor=False)
    metrics: dict[str, dict[str, Any]] = {name: {} for name in usual_metrics(registry, reference.data, samples)}
    asked = Asked(metrics=metrics, extractor=default_extractor(registry), samples=samples, seed=SEED)

    def scores(subject: Subject) -> list[Score]:
        with watching(quiet=quiet) as watch:
            return evaluate(subject.sample, reference, asked, registry, watch, subject.generator)

    def judge(model: Model) -> list[Score]:
        pairs = zip(scores(of_model(model, SEED)), scores(run), strict=True)
        return [_beside(score, exact.value, model.card.precision) for score, exact in pairs]

    return judge


def _beside(score: Score, exact: float, precision: str) -> Score:
    return score.model_copy(update={"provenance": {**score.provenance, "precision": precision, "fp32": exact}})
