"""A network around another, which sees labels that the inner one does not."""

from __future__ import annotations

from typing import Any

from torch import nn


class Labelled(nn.Module):
    """Base of wrappers; stages (`Game.configure`) are the inner network's."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def configure(self, **stage: Any) -> None:
        configure: Any = self.inner.configure
        configure(**stage)
