"""Algorithm 1, line 7, of Arjovsky et al. (arXiv 1701.07875): w ← clip(w, -c, c)."""

from __future__ import annotations

from ganforge.core.game import Effect, Step


class WeightClipping(Effect):
    """After each critic step, clamp every critic parameter, biases and norms too, as in the authors' code."""

    def __init__(self, clip: float) -> None:
        super().__init__()
        self.clip = clip

    def after_step(self, step: Step) -> None:
        if step.player.role == "discriminator":
            for parameter in step.player.parameters:
                parameter.clamp_(-self.clip, self.clip)
