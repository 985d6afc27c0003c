"""Spectral normalisation (Miyato et al., arXiv 1802.05957): equation 8 and Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from ganforge.core import GanforgeError
from ganforge.core.game import Effect, Game, Player, Role, Step
from ganforge.plugins.blocks.maps import WEIGHTED, output_axis
from ganforge.plugins.papers.sngan import SpectralNormOptions


class SpectralNorm(nn.Module):
    """W / σ(W) of one layer's weight, as a parametrization: a pure function of W and of the buffer `v`.

    `v` is the right singular vector, so that σ(W) = ‖Wv‖ (the paper's u is Wv / ‖Wv‖). Only `iterate` moves
    it, so a network called several times in a move (on reals, fakes, a penalty's points) is one function. It
    is normalised again where it is used: the v of an averaged network is an average, and shorter than 1.
    """

    v: Tensor

    def __init__(self, weight: Tensor, output_axis: int) -> None:
        super().__init__()
        self.output_axis = output_axis
        # A generator of its own: normalising a layer must not shift anybody else's initial weights.
        start = torch.randn(self.matrix(weight).shape[1], generator=torch.Generator().manual_seed(0))
        self.register_buffer("v", normalize(start, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        # Under autocast σ would be a bf16 number, a percent off.
        with torch.autocast(weight.device.type, enabled=False):
            return weight / self.sigma(weight)

    def sigma(self, weight: Tensor) -> Tensor:
        """The spectral norm, a scalar in fp32, differentiable in the weight; v is a constant."""
        return (self.matrix(weight) @ normalize(self.v, dim=0)).norm().clamp_min(1e-12)

    @torch.no_grad()
    def iterate(self, weight: Tensor, times: int) -> None:
        """Power iteration, v ← WᵀWv / ‖WᵀWv‖; the small shift keeps v where W is all zeros."""
        matrix, v = self.matrix(weight), self.v
        for _ in range(times):
            v = normalize(matrix.T @ (matrix @ v) + 1e-12 * v, dim=0, eps=1e-30)
        self.v.copy_(v)

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as outputs × everything else (section 2.1; convolutions: appendix, implementation)."""
        return weight.movedim(self.output_axis, 0).flatten(1)


class SpectralNormalisation(Effect):
    """The regularizer: every linear, convolutional and (in D) embedding weight of the players' networks, normalised.

    A game may have several critics, under any names: all networks that a discriminator moves are meant.
    Algorithm 1 does the power iteration in each update of the discriminator; here it follows the update, in
    `after_step`, so that v fits the weights it is used with and changes nowhere else. (Common implementations
    iterate in every forward pass: two or three times a move, and real and fake meet different critics.)

    A generator's embeddings are left alone: they are inputs or the scales of its norms, which a division would
    shrink to nothing, while a discriminator's (Miyato and Koyama's projection) is a map of its features.
    """

    WARM_UP = 15
    """Iterations before the first round, so that it starts from a fair σ."""

    def __init__(self, options: SpectralNormOptions) -> None:
        super().__init__()
        both: tuple[Role, ...] = ("discriminator", "generator")
        self.normalised: tuple[Role, ...] = both if options.networks == "both" else (options.networks,)
        self.iterations = options.iterations

    def attach(self, game: Game) -> None:
        players = [player for player in game.players if player.role in self.normalised]
        if not players:
            raise GanforgeError(f"regularizer 'spectral-norm': this game has no {self.normalised[0]} to normalise")
        layers = [layer for player in players for layer in _layers(game, player.networks) if _is_a_map(layer, player)]
        for layer in dict.fromkeys(layers):  # two players may share one
            norm = SpectralNorm(layer.weight, output_axis(layer))
            norm.iterate(layer.weight, self.WARM_UP)
            register_parametrization(layer, "weight", norm)

    def after_step(self, step: Step) -> None:
        for layer in _layers(step.game, step.player.networks):
            for norm, weight in _norms(layer):
                norm.iterate(weight, self.iterations)


def _is_a_map(layer: nn.Module, player: Player) -> bool:
    return player.role == "discriminator" or not isinstance(layer, nn.Embedding)


def _layers(game: Game, names: Iterable[str]) -> list[Any]:
    """The networks' layers with a weight to normalise, each once, also one that two networks share."""
    networks = nn.ModuleList(game.networks[name] for name in names)
    return [layer for layer in networks.modules() if isinstance(layer, WEIGHTED)]


def _norms(layer: nn.Module) -> list[tuple[SpectralNorm, Tensor]]:
    """A layer's spectral norm with the weight it normalises, if it has one."""
    if not is_parametrized(layer, "weight"):
        return []
    chain: Any = cast(nn.ModuleDict, layer.parametrizations)["weight"]
    return [(norm, chain.original) for norm in chain if isinstance(norm, SpectralNorm)]
