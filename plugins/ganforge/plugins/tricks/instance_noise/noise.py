"""The noise, and how it falls (Sønderby et al., arXiv 1610.04490, section on instance noise)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Effect
from ganforge.plugins.tricks.instance_noise import InstanceNoiseOptions

if TYPE_CHECKING:
    from torch import Tensor


class InstanceNoise(Effect):
    """Adds N(0, σ²) to every value the discriminator sees, real and fake alike and each its own."""

    def __init__(self, options: InstanceNoiseOptions) -> None:
        super().__init__()
        self.start, self.until = options.sigma, options.until

    def sigma(self, clock: Clock) -> float:
        """The noise of a round: linear from `sigma` to exactly 0 at the share `until` of the training."""
        return self.start * max(0.0, 1 - clock.round / (self.until * clock.rounds))

    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        sigma = self.sigma(clock)
        return images + sigma * draw.normal("noise", *images.shape[1:]) if sigma else images
