"""What plugins' settings share. Light: imports no torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options


class ClassifierOptions(Options):
    """The training of a small classifier (`blocks/classifier.py`)."""

    width: int = Field(32, ge=1, le=512, description="channels of the first layer")
    images: int = Field(180_000, ge=1, description="training pictures shown, each again and again")
    seed: int = Field(0, ge=0)


def players(**optimizer: Any) -> dict[str, Any]:
    """The same optimizer for both players, as keys of the config."""
    return {"generator": optimizer, "discriminator": optimizer}
