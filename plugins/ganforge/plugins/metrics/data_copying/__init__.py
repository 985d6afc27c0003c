"""`ct`: are samples nearer to what the generator learned from than real samples are that it never saw?

The test of Meehan, Chaudhuri and Dasgupta 2020 (arXiv 2004.05675, section 4). In each cell of the training split, found
by k-means, the Mann-Whitney test ranks the distances of generated and of held-out samples from their nearest training
samples; `ct` is the mean of its z-scores, weighted by the cells' shares of the held-out ones. Far below zero the
generator copies, far above it underfits, and by chance it is about zero, with a deviation of at most one. Cells of
fewer than 20 generated samples do not count: `ct_share` says how much of the held-out data the others hold. The default
number of cells is that of the authors' code for MNIST. For photographs they take 64 principal components of their
features; these are whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import GanforgeError, Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case

LEAST = 20
"""Generated samples without which a cell does not count: the paper's τ, times their number."""


class CopyingOptions(Options):
    """How finely the data is cut up."""

    cells: int = Field(50, ge=1, description="of the k-means partition of the training split")


def build(options: CopyingOptions, case: Case) -> Any:
    from ganforge.plugins.blocks.sides import counts
    from ganforge.plugins.metrics.data_copying.cells import DataCopying

    assert case.training is not None
    assert case.look is not None
    if case.data is case.training:
        raise GanforgeError("metric 'ct' compares with samples that were not trained on: leave out --split train")
    for side, count in {**counts(case), "training": len(case.training)}.items():
        if count < LEAST * options.cells:
            raise GanforgeError(
                f"option 'ct.cells' of {options.cells} needs at least {LEAST * options.cells} {side} samples, {LEAST} "
                f"for each, not {count}; try --set ct.cells={max(1, count // LEAST)}"
            )
    return DataCopying(case.look(case.training).features, options.cells, case.seed)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="ct",
            summary="z-score of samples nearer to training data than held-out data is; below zero copies",
            paper="2004.05675",
            options=CopyingOptions,
            build=build,
            needs=frozenset({"features"}),
            least=LEAST,
            floor=False,
        )
    ]
