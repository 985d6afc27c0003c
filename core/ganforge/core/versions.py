"""Versions of what is installed, of which nothing is imported to learn them. Light."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version


def installed(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def own_version() -> str:
    return installed("ganforge") or "source tree"


def versions(modules: Iterable[str]) -> dict[str, str]:
    """Versions of ganforge, torch and the distributions that `modules` belong to, by distribution."""
    names = {"torch"}.union(*(_distributions().get(module.partition(".")[0], ()) for module in modules))
    return {"ganforge": own_version(), **{name: found for name in sorted(names) if (found := installed(name))}}


@cache
def _distributions() -> dict[str, list[str]]:
    """The distributions of each importable name; kept, for all that is installed is read to tell."""
    return dict(packages_distributions())
