"""What gradient penalties share."""

from __future__ import annotations

from torch import Tensor

from ganforge.core.game import Critique, Duel


def input_gradients(duel: Duel, critique: Critique, samples: Tensor) -> Tensor:
    """∇D(x) of each sample, float32 [N, values of a sample], differentiable in D's parameters.

    Args:
        critique: what the duel's critic said of `samples`; several logits of a sample are summed.
        samples: [N, *shape], requiring grad.
    """
    return duel.gradient(critique.logits.sum(), samples).flatten(1)
