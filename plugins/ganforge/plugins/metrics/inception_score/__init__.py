"""`inception-score`: how sure a classifier is of each sample, and how varied it finds them all.

Salimans et al. 2016 (arXiv 1606.03498, section 4). It looks at generated samples alone, lies between 1 and the number
of classes, and is higher with more samples in a split. Published scores are of 50,000 samples in 10 splits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


class InceptionScoreOptions(Options):
    """The parts of which scores are averaged."""

    splits: int = Field(10, ge=1, description="parts of the samples, each scored by itself")


def build(options: InceptionScoreOptions, case: Case) -> Any:
    from ganforge.plugins.blocks.sides import require
    from ganforge.plugins.metrics.inception_score.score import InceptionScore

    require("inception-score.splits", options.splits, {"generated": case.samples})
    assert case.extractor is not None
    return InceptionScore(options.splits, case.samples, case.extractor.classes, case.seed)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="inception-score",
            summary="sure and varied classes of generated samples; from 1 to the number of classes",
            paper="1606.03498",
            options=InceptionScoreOptions,
            build=build,
            needs=frozenset({"logits"}),
            best={"is": "highest"},
        )
    ]
