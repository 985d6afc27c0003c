"""`kid`: the squared maximum mean discrepancy of features (Bińkowski et al. 2018, arXiv 1801.01401, section 4).

Its estimate is unbiased, so that values of different numbers of samples can be compared, and may fall below zero
between equal distributions. `kid_std` is the deviation over subsets, which is no error of the mean: subsets overlap.
There is none where a subset is all there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


class KernelOptions(Options):
    """The subsets of which estimates are averaged."""

    subsets: int = Field(100, ge=1, description="how many are drawn, each without repetition")
    subset_size: int = Field(1000, ge=2, description="samples of each side in a subset")


def build(options: KernelOptions, case: Case) -> Any:
    from ganforge.plugins.blocks.sides import counts, require
    from ganforge.plugins.metrics.kernel.distance import KernelDistance

    require("kid.subset_size", options.subset_size, counts(case))
    return KernelDistance(options, case.seed)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="kid",
            summary="kernel distance between features, unbiased; with its deviation over subsets",
            paper="1801.01401",
            options=KernelOptions,
            build=build,
            needs=frozenset({"features"}),
            best={"kid": "lowest"},
            usual=1000,
            least=2,
            requires=("torchmetrics",),
        )
    ]
