"""`prdc`: precision and recall of generated samples, and their density and coverage, by balls around features.

Precision and recall are those of Kynkäänniemi et al. 2019 (arXiv 1904.06991, section 2), density and coverage of Naeem
et al. 2020 (arXiv 2002.09797, section 3), who improve on them. All change with the number of samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


class PrdcOptions(Options):
    """How far a ball reaches."""

    k: int = Field(5, ge=1, description="a ball reaches to its k-th neighbour (2002.09797: 5; 1904.06991: 3)")


def build(options: PrdcOptions, case: Case) -> Any:
    from ganforge.plugins.blocks.sides import counts, require
    from ganforge.plugins.metrics.prdc.scorer import Prdc

    require("prdc.k", options.k, counts(case), beyond=1)
    return Prdc(options.k)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="prdc",
            summary="precision, recall, density and coverage by neighbours among the features",
            paper="2002.09797",
            options=PrdcOptions,
            build=build,
            needs=frozenset({"features"}),
            best={"coverage": "highest", "density": "highest", "recall": "highest", "precision": "highest"},
            usual=6,
            least=2,
        )
    ]
