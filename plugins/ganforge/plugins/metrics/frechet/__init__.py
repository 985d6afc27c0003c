"""`fid`: the Fréchet distance between Gaussians fitted to features (Heusel et al. 2017, arXiv 1706.08500).

It is biased upwards, the more the fewer the samples, even between samples of one distribution: compare values of equal
numbers of samples only, and with the floor that real data has. With no more samples than features the covariances are
singular; the distance is still defined, and then says little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


def build(options: Options, case: Case) -> Any:
    from ganforge.plugins.metrics.frechet.distance import FrechetDistance

    assert case.extractor is not None
    return FrechetDistance(case.extractor.dim)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="fid",
            summary="Fréchet distance between Gaussians of the features; biased upwards with few samples",
            paper="1706.08500",
            build=build,
            needs=frozenset({"features"}),
            best={"fid": "lowest"},
            usual=10,
            least=2,
        )
    ]
