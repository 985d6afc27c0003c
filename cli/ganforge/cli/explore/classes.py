"""Pictures between two classes: whatever a generator learned for each of them is mixed where it enters.

As Brock, Donahue and Simonyan interpolate the class embedding (BigGAN, arXiv 1809.11096, appendix A), but for any
network: every table of embeddings it looks up, and every one-hot code it makes, is a mean of both classes'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, one_hot
from torch.overrides import TorchFunctionMode


class Between(TorchFunctionMode):
    """While this is on, labels stand for `share` of the class `other`, and for themselves with the rest."""

    def __init__(self, other: int, share: float) -> None:
        super().__init__()
        self.other, self.share = other, share

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in (embedding, one_hot):
            return func(*args, **kwargs)
        labels, *rest = args
        ends: list[Tensor] = [func(one, *rest, **kwargs) for one in (labels, torch.full_like(labels, self.other))]
        return torch.lerp(ends[0].float(), ends[1].float(), self.share)
