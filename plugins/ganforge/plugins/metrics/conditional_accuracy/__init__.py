"""`conditional-accuracy`: how many samples show the class they were asked for, as a classifier of real data sees it.

Shmelkov, Schmid and Alahari 2018 (arXiv 1807.09499, section 3) call it GAN-test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import GanforgeError, Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


def build(options: Options, case: Case) -> Any:
    from ganforge.plugins.metrics.conditional_accuracy.scorer import ConditionalAccuracy

    classes = len(case.data.spec.classes)
    if case.extractor is None or case.extractor.classes != classes:
        raise GanforgeError(
            f"metric 'conditional-accuracy' needs a classifier of the data's {classes} classes: "
            "use --features classifier"
        )
    return ConditionalAccuracy()


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="conditional-accuracy",
            summary="share of samples that show the class they were asked for",
            paper="1807.09499",
            build=build,
            needs=frozenset({"logits", "labels"}),
            best={"conditional_accuracy": "highest"},
        )
    ]
