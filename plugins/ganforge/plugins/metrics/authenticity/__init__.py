"""`authenticity`: are samples new, or copies of training ones? (Alaa et al. 2022, arXiv 2102.08921.)

A sample is no copy when it is further from the training sample nearest to it than that one is from any other. All of
the training split is looked through, whatever split the others are compared with and however few samples are judged: a
copy of a picture that is not looked at would pass for new. `authenticity_held_out` is what held-out samples score, as
many or all there are, which nobody copied; far below it a generator remembers. With `--split train` there are none at
hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import GanforgeError, Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


LEAST = 2
"""Training samples: each is measured by its distance from another."""


def build(options: Options, case: Case) -> Any:
    from ganforge.plugins.metrics.authenticity.copies import Authenticity

    assert case.training is not None
    assert case.look is not None
    if (count := len(case.training)) < LEAST:
        raise GanforgeError(f"metric 'authenticity' needs at least {LEAST} training samples, not {count}")
    return Authenticity(case.look(case.training).features, held_out=case.data is not case.training)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="authenticity",
            summary="share of samples that are no copies of training ones, of which all are looked through",
            paper="2102.08921",
            build=build,
            needs=frozenset({"features"}),
            floor=False,
        )
    ]
