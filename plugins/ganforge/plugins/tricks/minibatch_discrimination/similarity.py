"""Section 3.2 of Salimans et al. (arXiv 1606.03498): a sample's similarity to its batch, as input of the last layer."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge.core import distributed
from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks.attaching import add_to_logits, critique_shapes, networks_of
from ganforge.plugins.tricks.minibatch_discrimination import MinibatchDiscriminationOptions


class Similarity(nn.Module):
    """f(x) [n, A] to o(x) [n, B], o_b(x_i) = Σ_j exp(-‖M_i,b - M_j,b‖₁) with M_i = f(x_i) T.

    j runs over the global batch, all processes' rows (differentiably). As in the equation it meets i itself, which
    adds a constant 1 (the authors' code leaves that out and learns an offset).
    """

    def __init__(self, features: int, kernels: int, dim: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.tensor = nn.Linear(features, kernels * dim, bias=False)
        # Each column of T has length 1 at the start, as the weight normalisation in the authors' code makes it.
        nn.init.normal_(self.tensor.weight, std=features**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        own = self.tensor(features).float().unflatten(1, (self.kernels, -1))
        # C × n × N × B: summed over the first axis it takes half the time it takes over the last.
        one, other = (rows.permute(2, 0, 1).contiguous() for rows in (own, distributed.gather(own)))
        distances = (one[:, :, None] - other[:, None]).abs().sum(dim=0)
        return (-distances).exp().sum(dim=1)


class SimilarityTerm(nn.Module):
    """A linear function of o(x) for each of the critic's `logits`: [n, ...] to [n, logits]."""

    def __init__(self, features: int, batch: int, logits: int, options: MinibatchDiscriminationOptions) -> None:
        super().__init__()
        self.similarity = Similarity(features, options.kernels, options.dim)
        self.weigh = nn.Linear(options.kernels, logits, bias=False)
        # o_b is at most the batch's size, so the critic starts with a term of order one.
        nn.init.normal_(self.weigh.weight, std=options.kernels**-0.5 / batch)

    def forward(self, features: Tensor) -> Tensor:
        weighed: Tensor = self.weigh(self.similarity(features.flatten(1)))
        return weighed


class MinibatchDiscrimination(Effect):
    """Adds a learned linear term in o(x) to every critic's logits.

    That is the paper's concatenation [f(x), o(x)] for every architecture whose features go into one last linear layer
    (a convolution over the whole map is one); if there are more layers between, they do not see o. Class logits do
    not either. With `accumulate` a batch is a piece.

    It couples the batch, so a gradient penalty on this critic is not one of single samples. `spectral-norm` later in
    the order normalises T and the weights of the term too, whose size is then that of the batch.
    """

    def __init__(self, options: MinibatchDiscriminationOptions) -> None:
        super().__init__()
        self.options = options

    def attach(self, game: Game) -> None:
        for name in networks_of(game, "discriminator"):
            logits, features = critique_shapes(game, name, "minibatch-discrimination")
            sizes = features[0].numel(), len(features) * distributed.world(), logits[0].numel()
            add_to_logits(game.networks[name], "minibatch_discrimination", SimilarityTerm(*sizes, self.options))
