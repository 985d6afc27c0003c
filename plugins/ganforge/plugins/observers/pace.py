"""When it is time for what an observer does every so many rounds."""

from __future__ import annotations


def due(round_: int, before: int, every: int, last: int) -> bool:
    """Whether a record after `round_`, the one before it being of round `before`, is the next to a multiple of `every`,
    or of the `last` round."""
    return round_ // every > before // every or round_ >= last
