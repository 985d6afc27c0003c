"""Which extractor and metrics are taken where nobody names any, and what figures are called. Light."""

from __future__ import annotations

import re
from importlib.util import find_spec

from ganforge.core.data import Data
from ganforge.core.registry import Registry


def default_extractor(registry: Registry) -> str | None:
    """The extractor of the highest rank of those whose modules are installed; None where there is none."""
    ranked = sorted(registry.all("extractor").values(), key=lambda spec: spec.rank, reverse=True)
    installed = (s.name for s in ranked if s.rank > 0 and all(find_spec(module) for module in s.requires))
    return next(installed, None)


def usual_metrics(registry: Registry, data: Data, samples: int) -> list[str]:
    """The metrics where nobody names any, for real data and a number of samples."""
    count = min(samples, len(data))
    fitting = [
        spec for spec in registry.all("metric").values() if ("points" in spec.needs) == (data.spec.kind == "points")
    ]
    usual = [spec for spec in fitting if spec.usual is not None and spec.usual <= count]
    return [spec.name for spec in sorted(usual, key=lambda spec: spec.usual, reverse=True)]


def plain_name(figure: str) -> str:
    """A figure's name without what its metric was set to: `coverage` of `coverage_k5`."""
    return re.sub(r"_k\d+$", "", figure)
