"""`ms-ssim`: how alike samples are, pair by pair; high where a generator has lost its variety.

Odena, Olah and Shlens 2016 (arXiv 1610.09585, section 4.2) compare pairs of one class by multi-scale structural
similarity (Wang, Simoncelli and Bovik 2003), which has five scales and wants images of 176 pixels. Smaller ones are
compared on fewer scales, whose weights sum to one as well: two at 32 pixels, three at 64. The figure's name says how
many, and only figures of equal names compare. Read it beside what real data scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import GanforgeError, Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case

WINDOW = 11
"""Pixels of the Gaussian window, which the smallest scale must hold."""


def scales(side: int) -> int:
    """On how many scales images of such a (smaller) side are compared: 1 to 5.

    Raises:
        GanforgeError: they are smaller than the window.
    """
    if side < WINDOW:
        raise GanforgeError(f"metric 'ms-ssim' compares images of at least {WINDOW} pixels a side, not {side}")
    # The window must fit into the smallest of them; torchmetrics asks for the second as well.
    fitting = (n for n in (5, 4, 3, 2, 1) if side // 2 ** (n - 1) >= WINDOW and side // max(1, n - 1) ** 2 >= WINDOW)
    return next(fitting)


def build(options: Options, case: Case) -> Any:
    from ganforge.plugins.metrics.ms_ssim.pairs import PairSimilarity

    return PairSimilarity(scales(min(case.data.spec.shape[1:])))


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="ms-ssim",
            summary="how alike pairs of samples of a class are, from 0 to 1; high without variety",
            paper="1610.09585",
            build=build,
            needs=frozenset({"images"}),
            least=2,
            requires=("torchmetrics",),
        )
    ]
