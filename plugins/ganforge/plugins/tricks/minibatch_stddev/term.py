"""Section 3 of Karras et al. (arXiv 1710.10196) for a discriminator that was built without it."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks.attaching import add_to_logits, critique_shapes, networks_of
from ganforge.plugins.blocks.minibatch_stddev import MinibatchStdDev
from ganforge.plugins.tricks.minibatch_stddev import MinibatchStdDevOptions


class DeviationTerm(nn.Module):
    """A multiple, learned for each of the critic's `logits`, of the features' deviation: [n, ...] to [n, logits]."""

    def __init__(self, group: int, logits: int) -> None:
        super().__init__()
        self.stddev = MinibatchStdDev(group)
        self.weigh = nn.Linear(1, logits, bias=False)
        nn.init.normal_(self.weigh.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        weighed: Tensor = self.weigh(self.stddev.deviation(features)[:, None])
        return weighed


class MinibatchStdDevEffect(Effect):
    """Adds a learned multiple of the group's deviation to every critic's logits.

    That is the paper's constant map appended to the features, for every architecture whose features go into one
    last linear layer: the map's weights, one for each place, sum up to one number. The paper's own discriminator
    has a convolution between, for which an architecture takes the layer itself (blocks/minibatch_stddev.py).

    Groups lie within a process. `spectral-norm` later in the order makes the multiple 1 or -1.
    """

    def __init__(self, options: MinibatchStdDevOptions) -> None:
        super().__init__()
        self.group = options.group

    def attach(self, game: Game) -> None:
        for name in networks_of(game, "discriminator"):
            logits, _ = critique_shapes(game, name, "minibatch-stddev")
            add_to_logits(game.networks[name], "minibatch_stddev", DeviationTerm(self.group, logits[0].numel()))
