"""`stacked-digits`: how many of the thousand triples of digits are generated, and how evenly.

As VEEGAN (arXiv 1705.07761) and PacGAN (arXiv 1712.04086, section 4.2) count on stacked MNIST: a classifier
of single digits names what each channel shows. Its accuracy is a figure too: a mode it mistakes is not there. The
reverse KL is from the shares of the triples among the samples to equal shares, in nats. Papers judge 26,000 samples. Of
n samples of a perfect generator, 1000 (1 - 0.999ⁿ) triples are seen on average, and the divergence is about 999 / (2 n)
where n is many thousands; what real data of the other split scores says it for any n, and for the classifier at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganforge.core import GanforgeError, Metric, hookimpl
from ganforge.plugins.blocks.settings import ClassifierOptions

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


def build(options: ClassifierOptions, case: Case) -> Any:
    from ganforge.plugins.blocks.classifier import classifier_of
    from ganforge.plugins.metrics.stacked_digits.triples import Triples

    single = getattr(case.training, "single", None)
    if single is None:
        raise GanforgeError("metric 'stacked-digits' needs data whose channels are pictures, such as stacked-digits")
    return Triples(classifier_of(single, options).to(case.device))


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="stacked-digits",
            summary="how many of 1,000 triples of digits are generated, and how evenly",
            paper="1712.04086",
            options=ClassifierOptions,
            build=build,
            needs=frozenset({"images"}),
            best={"modes": "highest", "reverse_kl": "lowest"},
        )
    ]
