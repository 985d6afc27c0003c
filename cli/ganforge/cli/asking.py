"""What `ganforge evaluate` is asked, made out of its options: which metrics, of which features, against which split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, cast, get_args

from ganforge.core.data import Data, DataSpec, Split
from ganforge.core.errors import GanforgeError, unknown
from ganforge.core.registry import Registry
from ganforge.core.scoring import usual_metrics


def split_named(name: str) -> Split:
    if name not in get_args(Split):
        raise GanforgeError(f"--split takes {' or '.join(get_args(Split))}, not '{name}'")
    return cast(Split, name)


def by_name(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    for name, values in settings.items():
        if not isinstance(values, Mapping):
            raise GanforgeError(f"--set {name}={values}: takes settings by name, as in {name}.KEY=VALUE")
    return {name: dict(values) for name, values in settings.items()}


def inception_instead_of(features: str | None) -> str:
    if features not in (None, "inception"):
        raise GanforgeError(f"--inception-weights goes with --features inception, not {features}")
    return "inception"


def chosen_metrics(
    metrics: str | None, real: Data, samples: int, options: Mapping[str, Any], registry: Registry
) -> list[str]:
    """The metrics asked for, or the usual ones for such data and so many samples."""
    if metrics is None:
        set_ = [name for name in options if name in registry.all("metric")]
        return list(dict.fromkeys([*usual_metrics(registry, real, samples), *set_]))
    chosen = [name.strip() for name in metrics.split(",") if name.strip()]
    for name in chosen:
        registry.find("metric", name)
    return chosen


def check_classes(metrics: Iterable[str], made: DataSpec, real: DataSpec, registry: Registry) -> None:
    """A label must mean the same to the generator and to the data."""
    wanting = [name for name in metrics if "labels" in registry.find("metric", name).needs]
    if wanting and made.classes != real.classes:
        differing = next(
            pair for pair in zip_longest(made.classes, real.classes, fillvalue="none") if pair[0] != pair[1]
        )
        raise GanforgeError(
            f"metric '{wanting[0]}' compares classes, and the generator's are not the data's: "
            f"'{differing[0]}' where the data has '{differing[1]}'"
        )


def with_options(metrics: Sequence[str], options: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Each metric with what `--set` says of it."""
    if stray := sorted(options.keys() - set(metrics)):
        raise unknown("setting", stray[0], [*metrics, "features"], "--set")
    return {name: options.get(name, {}) for name in metrics}
