"""Orthogonal regularization: both forms against their formulas, which weights they act on, where they lead."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from small_games import Critic, linear_critic, make_game, make_step, mlp_critic, move, player
from torch import Tensor, nn

from ganforge.core.game import AdversarialGame, Batch, Clock, Draw, Duel, Effect, Networks, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.papers.sngan import SpectralNormOptions
from ganforge.plugins.papers.sngan.norm import SpectralNormalisation
from ganforge.plugins.tricks.orthogonal_regularization import OrthogonalOptions
from ganforge.plugins.tricks.orthogonal_regularization.penalty import OrthogonalRegularization

SHAPES = [(3, 7), (5, 5), (9, 4)]


def effect(**options: Any) -> OrthogonalRegularization:
    return OrthogonalRegularization(parse(OrthogonalOptions, options))


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def off_diagonal(filters: Tensor, form: str = "off-diagonal") -> Tensor:
    """As printed: W has a filter in each column."""
    products, eye = filters @ filters.T, torch.eye(len(filters))
    return (products * (1 - eye) if form == "off-diagonal" else products - eye).square().sum()


# The formulas.


@pytest.mark.parametrize("form", ["off-diagonal", "direct"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_cost_is_the_papers(form: str, shape: tuple[int, int]) -> None:
    filters = drawn(*shape)
    assert effect(form=form).cost(filters).item() == pytest.approx(off_diagonal(filters, form).item(), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_its_gradient_is_the_closed_forms(shape: tuple[int, int]) -> None:
    """4 (WWᵀ ⊙ (1 - I)) W for filters in the rows of W."""
    filters = drawn(*shape).requires_grad_()
    effect().cost(filters).backward()
    with torch.no_grad():
        expected = 4 * (filters @ filters.T * (1 - torch.eye(shape[0]))) @ filters
    assert torch.allclose(filters.grad, expected, atol=1e-3)


def test_under_autocast_it_keeps_its_precision() -> None:
    filters = drawn(6, 40)
    exact = effect().cost(filters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert effect().cost(filters).item() == pytest.approx(exact.item(), rel=1e-6)


# Where it leads.


@pytest.mark.parametrize("form", ["off-diagonal", "direct"])
def test_followed_for_long_it_makes_filters_orthogonal(form: str) -> None:
    game = make_game(linear_critic([1.0, 0.0]), ortho=effect(form=form, weight=1.0))
    weight = game.networks["generator"].layer.weight
    mover = player(game, "generator")
    mover.optimizer = torch.optim.SGD(mover.parameters, lr=0.05)
    before = (weight[0] @ weight[1]).item() / (weight[0].norm() * weight[1].norm()).item()
    assert abs(before) > 0.1
    for _ in range(120):
        move(game, "generator")
    products = weight.detach() @ weight.detach().T
    assert products[0, 1].item() == pytest.approx(0, abs=1e-4)
    lengths = products.diagonal()
    if form == "direct":
        assert lengths.tolist() == pytest.approx([1, 1], abs=1e-3)
    else:
        assert (lengths - 1).abs().min() > 0.1


# What it acts on.


def gradients(game: AdversarialGame, role: str = "generator") -> list[Tensor]:
    mover, step = player(game, role), make_step(game, role)
    return list(torch.autograd.grad(game.objective(mover, step.draw, step.clock).loss, mover.parameters))


def test_it_is_active_in_training_and_acts_on_weights_alone() -> None:
    """The generator's gradient has β times the closed form more than without; its bias has nothing."""
    from ganforge.plugins.papers.sngan.losses import Hinge

    plain, regularized = (
        make_game(mlp_critic(), Hinge(), **effects) for effects in ({}, {"ortho": effect(weight=0.3)})
    )
    (weight, bias), (more, same) = gradients(plain), gradients(regularized)
    filters = plain.networks["generator"].layer.weight.detach()
    expected = 1.2 * (filters @ filters.T * (1 - torch.eye(2))) @ filters
    assert expected.abs().max() > 0.01
    assert torch.allclose(more - weight, expected, atol=1e-5)
    assert torch.equal(same, bias)


@pytest.mark.parametrize(("networks", "payers"), [("generator", "g"), ("discriminator", "d"), ("both", "dg")])
def test_only_the_chosen_players_pay(networks: str, payers: str) -> None:
    game = make_game(mlp_critic(), ortho=effect(networks=networks))
    step = make_step(game, "generator")
    paid = {
        role: game.objective(player(game, role), step.draw, step.clock).scalars
        for role in ("discriminator", "generator")
    }
    assert "".join(sorted(role[0] for role in paid if "penalty/ortho" in paid[role])) == payers


def test_every_linear_and_convolutional_weight_counts_once_and_embeddings_do_not() -> None:
    layers = {
        "linear": nn.Linear(4, 3),
        "convolution": nn.Conv2d(2, 3, 3),
        "transposed": nn.ConvTranspose2d(3, 2, 3),
        "embedding": nn.Embedding(5, 4),
        "norm": nn.BatchNorm2d(3),
    }
    critic = Critic(lambda critic, x: x.sum(dim=1), **layers)
    critic.again = layers["linear"]
    game = make_game(critic, ortho=effect(networks="discriminator", weight=0.5))
    found = game.effects["ortho"].penalty(make_step(game))
    transposed = layers["transposed"].weight.transpose(0, 1).flatten(1)
    filters = [layers["linear"].weight, layers["convolution"].weight.flatten(1), transposed]
    assert [len(f) for f in filters] == [3, 3, 2]
    assert found.item() == pytest.approx(0.5 * sum(off_diagonal(f).item() for f in filters), rel=1e-4)


@pytest.mark.parametrize("first", ["ortho", "norm"])
def test_under_spectral_norm_it_acts_on_the_weight_before_its_division(first: str) -> None:
    norm = SpectralNormalisation(parse(SpectralNormOptions, {"networks": "both"}))
    effects: dict[str, Effect] = {"norm": norm, "ortho": effect(weight=1.0)}
    game = make_game(mlp_critic(), **{key: effects[key] for key in sorted(effects, key=lambda key: key != first)})
    layer = game.networks["generator"].layer
    raw = layer.parametrizations["weight"].original
    assert not torch.allclose(off_diagonal(layer.weight), off_diagonal(raw), rtol=0.1)
    assert game.effects["ortho"].penalty(make_step(game, "generator")).item() == pytest.approx(off_diagonal(raw).item())


def test_a_player_that_looks_ahead_is_judged_by_the_weights_it_looks_with() -> None:
    game = make_game(mlp_critic(), ortho=effect(weight=1.0))
    step, ahead = make_step(game, "generator"), drawn(2, 3, seed=5)
    step.weights["generator"] = {"layer.weight": ahead}
    assert game.effects["ortho"].penalty(step).item() == pytest.approx(off_diagonal(ahead).item(), rel=1e-5)


class TwoDuels(AdversarialGame):
    """The same critic judges twice."""

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        step = super().make_step(player, draw, clock)
        step.duels.append(Duel(step, "discriminator", lambda: Batch(step.real.detach(), None), lambda: step.fake))
        return step


def test_two_duels_of_a_player_pay_once() -> None:
    usual = make_game(mlp_critic())
    networks = Networks(*(copy.deepcopy(usual.networks[name]) for name in ("generator", "discriminator")))
    game = TwoDuels(Parts(usual.config, usual.data, networks, usual.loss, {"ortho": effect(weight=1.0)}, usual.device))
    mover, step = player(game, "generator"), make_step(game, "generator")
    paid = game.objective(mover, step.draw, step.clock).scalars["penalty/ortho"]
    assert paid.item() == pytest.approx(off_diagonal(networks.generator.layer.weight).item(), rel=1e-5)
