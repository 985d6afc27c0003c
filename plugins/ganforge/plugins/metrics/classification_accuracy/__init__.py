"""`classification-accuracy-score`: how well a classifier that learned from generated samples alone knows real ones.

Ravuri and Vinyals 2019 (arXiv 1905.10887, section 3). It falls where classes are mistaken or lack variety, both of
which cost a classifier; copies of the training split would cost nothing. They train a ResNet-50, on as many samples as
there are real ones; here it is the small network of the `classifier` features, on as many as are asked for. Real data
of the other split in the generator's place says what is to be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import Metric, hookimpl
from ganforge.plugins.blocks.settings import ClassifierOptions

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


def build(options: ClassifierOptions, case: Case) -> Any:
    from ganforge.plugins.metrics.classification_accuracy.learner import Learner

    return Learner(options, case.data.spec)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="classification-accuracy-score",
            summary="accuracy on real data of a classifier that learned from samples alone",
            paper="1905.10887",
            options=ClassifierOptions,
            build=build,
            needs=frozenset({"images", "labels"}),
            best={"cas": "highest"},
        )
    ]
