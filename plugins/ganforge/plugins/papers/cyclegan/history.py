"""Translations that discriminators are shown again later (Shrivastava et al., arXiv 1612.07828, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

Held = dict[int, Tensor]
"""New pictures by the slot they shall have."""


class History(nn.Module):
    """The last `size` pictures or so, [size, C, H, W]. How many there are yet follows from the position."""

    images: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))

    def swap(self, fakes: Tensor, slots: Iterable[tuple[int | None, int | None]]) -> tuple[Tensor, Held]:
        """What to show in the place of fakes [N, C, H, W], and what to remember, where `slots` of `plan` say so."""
        shown, held = [], Held()
        for fake, (taken, kept) in zip(fakes, slots, strict=True):
            shown.append(fake if taken is None else held.get(taken, self.images[taken]))
            if kept is not None:
                held[kept] = fake
        return torch.stack(shown), held

    def store(self, held: Held) -> None:
        for slot, image in held.items():
            self.images[slot] = image.detach()


def plan(first: int, n: int, size: int, random: np.random.Generator) -> Iterator[tuple[int | None, int | None]]:
    """For `n` pictures that come after `first` others: the slot of what is shown instead, and the slot it goes to.

    The first `size` are shown and kept. After that, with a chance of one half each, a picture is only shown, or takes
    the place of an old one that is shown instead.
    """
    for number in range(first, first + n):
        swaps, slot = random.random() < 0.5, int(random.integers(max(1, size)))
        if number < size:
            yield None, number
        else:
            yield (slot, slot) if swaps and size else (None, None)
