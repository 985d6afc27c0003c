"""Path length regularization (Karras et al., arXiv 1912.04958, section 3.2 and equation 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.game import Duel, Effect, Game, Step
from ganforge.plugins.blocks.attaching import sketch
from ganforge.plugins.papers.stylegan2 import PathLengthOptions


class PathLength(Effect):
    """γ_pl E (‖Jᵀy‖ - a)², with J = ∂G(w)/∂w, y ~ N(0, I) / √places, and a the running mean of the lengths.

    Where every layer has a w of its own, the square of a length is the mean over layers, as in the authors' code.
    """

    roles = frozenset({"generator"})
    differentiates_twice = True
    mean: Tensor

    def __init__(self, options: PathLengthOptions) -> None:
        super().__init__()
        self.weight, self.decay, self.every = options.weight, options.decay, options.every
        self.register_buffer("mean", torch.zeros(()))
        self.seen: Tensor | None = None  # between a move's penalty and its `after_step`

    def attach(self, game: Game) -> None:
        if sketch(game, "generator", game.latent.width).style is None:
            raise GanforgeError(
                f"regularizer 'path-length': the generator of '{game.config.architecture.name}' has no styles; those "
                "of stylegan and stylegan2 have"
            )

    def penalty(self, duel: Duel) -> Tensor:
        lengths = self.lengths(duel)
        self.seen = self.mean.lerp(duel.mean(lengths.detach()), 1 - self.decay)
        return self.weight * (lengths - self.seen).square().mean()

    def lengths(self, duel: Duel) -> Tensor:
        """‖Jᵀy‖ of each sample of the move, [N]."""
        images, style = duel.step.generated
        assert style is not None
        noise = duel.draw.scoped("path-length").normal("y", *images.shape[1:])
        places = images.shape[2] * images.shape[3]
        slopes = duel.gradient((images * noise).sum() / places**0.5, style)
        return slopes.square().sum(dim=2).mean(dim=1).sqrt()

    def scalars(self, step: Step) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def after_step(self, step: Step) -> None:
        if self.seen is not None:
            self.mean.copy_(self.seen)
            self.seen = None
