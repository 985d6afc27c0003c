"""What `train` is asked for, from a file, flags and `--set`, as core takes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganforge.core.config import LENGTHS, merge, parse_settings, read_toml


def request(config: Path | None, flags: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """What is asked for: the file's settings, the flags on them, `--set` on both."""
    layers = [read_toml(config) if config else {}, _given(flags), parse_settings(settings)]
    result: dict[str, Any] = {}
    for layer in layers:
        result = merge(without_length(result) if lengths(layer) else result, layer)
    return result


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given: None and what is left empty falls away."""
    nested = {key: _given(value) if isinstance(value, Mapping) else value for key, value in flags.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}


ALL_LENGTHS = ("steps", "budget", *LENGTHS)
"""The ways to say how long a training is."""


def lengths(layer: Mapping[str, Any]) -> set[str]:
    return set(ALL_LENGTHS) & layer.keys()


def without_length(layer: Mapping[str, Any]) -> dict[str, Any]:
    """What is left for a length said in another way to replace."""
    return {key: value for key, value in layer.items() if key not in lengths(layer)}
