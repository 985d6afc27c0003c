"""Packs of samples, and a discriminator of packs (Lin et al., arXiv 1712.04086, section 2)."""

from __future__ import annotations

from typing import overload

from torch import Tensor, nn

from ganforge.core.game import Critique


def pack(x: Tensor, m: int) -> Tensor:
    """Each m neighbours become one: [N, C, ...] to [N/m, mC, ...], channel after channel."""
    return x.unflatten(0, (-1, m)).flatten(1, 2)


def unpack(packs: Tensor, m: int) -> Tensor:
    """The samples in packs: [N/m, mC, ...] to [N, C, ...]."""
    return packs.unflatten(1, (m, -1)).flatten(0, 1)


@overload
def first(labels: Tensor, m: int) -> Tensor: ...
@overload
def first(labels: None, m: int) -> None: ...
def first(labels: Tensor | None, m: int) -> Tensor | None:
    """The class of the first sample of each pack: [N] to [N/m]."""
    return None if labels is None else labels[::m]


class Packed(nn.Module):
    """A discriminator of single samples' shape that judges packs: samples [N, C, ...] to logits [N/m].

    `judge` is any discriminator built for mC channels (or coordinates). Labels are the samples', [N]; it gets those of
    the first in each pack.
    """

    def __init__(self, judge: nn.Module, m: int) -> None:
        super().__init__()
        self.judge, self.m = judge, m

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        critique: Critique = self.judge(pack(x, self.m), first(labels, self.m))
        return critique
