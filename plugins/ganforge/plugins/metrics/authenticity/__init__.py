"""`authenticity`: are samples new, or copies of real ones? (Alaa et al. 2022, arXiv 2102.08921.)

A sample is no copy when it is further from the real one nearest to it than that one is from any other real one. Copying
is from the training split: `--split train`. Real samples of the other split say what a generator that copies nothing
scores; a score far below theirs is a generator that remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


def build(options: Options, case: Case) -> Any:
    from ganforge.plugins.metrics.authenticity.copies import Authenticity

    return Authenticity()


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="authenticity",
            summary="share of samples that are no copies of real ones; with --split train",
            paper="2102.08921",
            build=build,
            needs=frozenset({"features"}),
            least=2,
        )
    ]
