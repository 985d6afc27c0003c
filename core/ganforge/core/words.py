"""Words that light and heavy modules share."""

from __future__ import annotations

from typing import Literal

Role = Literal["discriminator", "generator"]
