"""Historical averaging: against a written-down history, for whom, and when it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import Zero, assert_resumes_exactly, linear_critic, make_game, make_step, mlp_critic, move, player
from torch import Tensor
from torch.func import functional_call

from ganforge.core.game import AdversarialGame, Duel
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.sngan import SpectralNormOptions
from ganforge.plugins.papers.sngan.norm import SpectralNormalisation
from ganforge.plugins.papers.wgan.losses import Wasserstein
from ganforge.plugins.tricks.historical_averaging import HistoricalAveragingOptions
from ganforge.plugins.tricks.historical_averaging.penalty import HistoricalAveraging


def effect(**options: object) -> HistoricalAveraging:
    return HistoricalAveraging(parse(HistoricalAveragingOptions, options))


def vector(game: AdversarialGame, role: str) -> Tensor:
    return torch.cat([p.detach().flatten() for p in player(game, role).parameters])


@pytest.mark.parametrize("role", ["discriminator", "generator"])
def test_it_is_the_distance_to_the_mean_of_all_that_was(role: str) -> None:
    averaging = effect(weight=0.7)
    game = make_game(mlp_critic(), Wasserstein(), averaging=averaging)
    history = [vector(game, role)]
    for round_ in range(6):
        for one in ("discriminator", "generator"):
            move(game, one, round=round_)
        history.append(vector(game, role))
    expected = 0.7 * (history[-1] - torch.stack(history).mean(dim=0)).square().sum()
    assert expected > 1e-7
    assert averaging.penalty(make_step(game, role)).item() == pytest.approx(expected.item(), rel=1e-3)


def test_at_the_start_it_is_nothing() -> None:
    averaging = effect()
    game = make_game(mlp_critic(), averaging=averaging)
    assert averaging.penalty(make_step(game)).item() == 0


def test_its_gradient_is_twice_the_distance() -> None:
    averaging = effect(weight=0.5)
    game = make_game(linear_critic([1.0, 2.0]), averaging=averaging)
    weight = game.networks["discriminator"].layer.weight
    weight.data += torch.tensor([[0.5, -1.0]])
    averaging.penalty(make_step(game)).backward()
    assert weight.grad.tolist() == [[0.5, -1.0]]


@pytest.mark.parametrize(
    ("networks", "payers"),
    [("both", {"discriminator", "generator"}), ("generator", {"generator"}), ("discriminator", {"discriminator"})],
)
def test_who_pays_and_whose_means_move(networks: str, payers: set[str]) -> None:
    averaging = effect(networks=networks)
    game = make_game(mlp_critic(), Wasserstein(), averaging=averaging)
    kept = {name.split("/")[0] for name, _ in averaging.named_buffers()}
    assert kept == payers
    for role in ("discriminator", "generator"):
        before = {name: buffer.clone() for name, buffer in averaging.named_buffers()}
        step = make_step(game, role)
        scalars = game.objective(player(game, role), step.draw, step.clock).scalars
        assert ("penalty/averaging" in scalars) == (role in payers)
        assert all(torch.equal(before[name], buffer) for name, buffer in averaging.named_buffers())
        move(game, role)
        moved = {n.split("/")[0] for n, b in averaging.named_buffers() if not torch.equal(before[n], b)}
        assert moved == {role} & payers


def test_however_many_duels_a_player_pays_once() -> None:
    averaging = effect(weight=1.0)
    game = make_game(linear_critic([1.0, 2.0]), averaging=averaging)
    game.networks["discriminator"].layer.weight.data += 1
    step = make_step(game)
    step.duels.append(Duel(step, "discriminator", lambda: step.batch, lambda: step.fake))
    assert [averaging.penalty(duel).item() for duel in step.duels] == [2, 0]


def test_what_a_player_looks_ahead_with_is_what_pays() -> None:
    averaging = effect(weight=1.0)
    game = make_game(linear_critic([1.0, 2.0]), averaging=averaging)
    step = make_step(game)
    step.weights["discriminator"] = {"layer.weight": torch.tensor([[1.0, 5.0]])}
    assert averaging.penalty(step).item() == 9
    assert functional_call(game.networks["discriminator"], step.weights["discriminator"], (torch.ones(1, 2),))


@pytest.mark.parametrize("first", [True, False])
def test_the_order_beside_spectral_norm_does_not_matter(first: bool) -> None:
    averaging, norm = effect(), SpectralNormalisation(parse(SpectralNormOptions, {}))
    effects = {"averaging": averaging, "norm": norm} if first else {"norm": norm, "averaging": averaging}
    game = make_game(mlp_critic(), Zero(), **effects)
    step = make_step(game)
    assert len(list(averaging._pairs(step))) == len(player(game, "discriminator").parameters) == 6


def test_it_fits_a_recipe_and_resumes_exactly(registry: Registry, tmp_path: Path) -> None:
    settings = ("architecture.width=4", "regularizers.historical-averaging.weight=0.1")
    run = assert_resumes_exactly(registry, tmp_path, "sngan", "digits", *settings)
    assert run.game.effects["historical-averaging"].get_buffer("generator/moves").item() == 7
