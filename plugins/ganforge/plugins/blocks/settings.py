"""What recipes' settings share. Light: imports no torch."""

from __future__ import annotations

from typing import Any


def players(**optimizer: Any) -> dict[str, Any]:
    """The same optimizer for both players, as keys of the config."""
    return {"generator": optimizer, "discriminator": optimizer}
