"""A network around another, which sees labels that the inner one does not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganforge.core import Built, GanforgeError
from ganforge.core.game import truncates


class Labelled(nn.Module):
    """Base of wrappers; stages (`Game.configure`) are the inner network's."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    @property
    def truncates(self) -> bool:
        """Whether a generator has styles to truncate."""
        return truncates(self.inner)

    def configure(self, **stage: Any) -> None:
        configure: Any = self.inner.configure
        configure(**stage)


@torch.no_grad()
def features_of(network: nn.Module, built: Built) -> Tensor:
    """The features a discriminator gives of two empty samples, to learn their shape; its state stays.

    Raises:
        GanforgeError: it gives none, or not one row for each sample.
    """
    training = network.training
    features: Tensor | None = network.eval()(torch.zeros(2, *built.data.shape)).features
    network.train(training)
    if features is None or len(features) != 2:
        raise GanforgeError(
            "option 'discriminator.conditioning': this discriminator gives no features of single samples to "
            "condition on; set it to concat"
        )
    return features
