"""The variational bound on the mutual information of codes and samples: equation 5 of arXiv 1606.03657."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from ganforge.core import GanforgeError
from ganforge.core.game import Duel, Effect, Game, Role
from ganforge.core.latents import Latent
from ganforge.plugins.blocks.attaching import critique_shapes, networks_of
from ganforge.plugins.papers.infogan import InformationOptions


class MutualInformation(Effect):
    """-λ L_I(G, Q) in both players' losses, as in the authors' code; D's part moves the layers it shares with Q.

    Q is a network of its own for each critic, `CRITIC_q`, on the critic's features, and moves with the generator's
    player: equation 6 minimises over G and Q together. (In the authors' code it moves with D.)
    """

    roles: frozenset[Role] = frozenset(("discriminator", "generator"))

    def __init__(self, options: InformationOptions) -> None:
        super().__init__()
        self.options = options

    def attach(self, game: Game) -> None:
        if not game.latent.codes:
            raise GanforgeError(
                "regularizer 'mutual-information' needs codes to inform of: "
                "set latent.categorical=[10], or latent.continuous=2, or both"
            )
        mover = next(player.name for player in game.players if player.role == "generator")
        for critic in networks_of(game, "discriminator"):
            _, features = critique_shapes(game, critic, "mutual-information")
            width = features.flatten(1).shape[1]
            game.adopt(f"{critic}_q", Guesser(width, game.latent, self.options), mover)

    def penalty(self, duel: Duel) -> Tensor:
        features, latent = duel.on_fake.features, duel.step.game.latent
        assert features is not None
        guess = duel.call(f"{duel.critic}_q", features.flatten(1)).float()
        codes = duel.step.latent[:, latent.dim :]
        numbers = sum(latent.categorical)  # where the continuous codes begin
        categorical = categorical_bound(guess[:, :numbers], codes[:, :numbers], latent)
        continuous = continuous_bound(guess[:, numbers:], codes[:, numbers:])
        return -self.options.categorical_weight * categorical - self.options.continuous_weight * continuous


class Guesser(nn.Module):
    """Q: features [N, width] → 128, batch norm, LeakyReLU 0.1 → what it makes of the codes (table 1).

    Log-odds of the categories, then the means of the continuous codes and, where they are learned, the logarithms
    of their standard deviations.
    """

    def __init__(self, width: int, latent: Latent, options: InformationOptions) -> None:
        super().__init__()
        spread = latent.continuous if options.variance == "learned" else 0
        self.layers = nn.Sequential(
            nn.Linear(width, options.hidden),
            nn.BatchNorm1d(options.hidden),
            nn.LeakyReLU(0.1),
            nn.Linear(options.hidden, latent.codes + spread),
        )

    def forward(self, features: Tensor) -> Tensor:
        guess: Tensor = self.layers(features)
        return guess


def categorical_bound(logits: Tensor, one_hot: Tensor, latent: Latent) -> Tensor:
    """Σ over codes of E log Q(c|x) + H(c), with H(c) = ln k; logits and codes [N, Σ k]."""
    bound = torch.zeros((), device=logits.device)
    for guess, code in zip(logits.split(latent.categorical, 1), one_hot.split(latent.categorical, 1), strict=True):
        bound = bound + (log_softmax(guess, dim=1) * code).sum(dim=1).mean() + math.log(code.shape[1])
    return bound


def continuous_bound(guess: Tensor, codes: Tensor) -> Tensor:
    """The same for codes [N, k] uniform on [-1, 1], so H(c) = ln 2 each, and Q a Gaussian of independent codes.

    `guess` are means [N, k], with variance 1, or means and log standard deviations [N, 2k].
    """
    k = codes.shape[1]
    mean, log_sigma = guess[:, :k], guess[:, k:] if guess.shape[1] > k else torch.zeros_like(codes)
    log_density = -0.5 * ((codes - mean) / log_sigma.exp()).square() - log_sigma - 0.5 * math.log(2 * math.pi)
    return (log_density + math.log(2)).sum(dim=1).mean()
