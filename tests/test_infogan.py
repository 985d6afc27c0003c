"""InfoGAN: the bound in closed form, whose weights it moves, and the numbers of the paper."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from small_games import assert_resumes_exactly, player, resolved
from torch import nn

from ganforge.core import GanforgeError, Latent
from ganforge.core.config import resolve
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.papers.infogan import InformationOptions
from ganforge.plugins.papers.infogan.information import Guesser, categorical_bound, continuous_bound

TWO = Latent(dim=3, categorical=(2, 4))
SMALL = ("architecture.width=4", "latent.dim=4", "regularizers.mutual-information.hidden=4")


def test_a_categorical_code_told_exactly_is_worth_its_entropy_and_a_guess_nothing() -> None:
    codes = torch.tensor([[1.0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 1]])
    assert categorical_bound(1000 * codes, codes, TWO).item() == pytest.approx(math.log(2) + math.log(4))
    assert categorical_bound(torch.zeros(2, 6), codes, TWO).item() == pytest.approx(0, abs=1e-6)


def test_the_categorical_bound_is_the_mutual_information_of_the_right_posterior() -> None:
    """x is the code of two categories, flipped in one case out of four: I = ln 2 - H(1/4)."""
    codes = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [0, 1]])
    seen = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    posterior = torch.tensor([[0.75, 0.25], [0.25, 0.75]]).log()[seen]
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    bound = categorical_bound(posterior, codes, Latent(categorical=(2,)))
    assert bound.item() == pytest.approx(math.log(2) - entropy)


@pytest.mark.parametrize("sigma", [None, 0.5, 2.0])
def test_the_continuous_bound_is_a_gaussian_s_log_density_and_the_codes_entropy(sigma: float | None) -> None:
    codes, mean = torch.rand(5, 2) * 2 - 1, torch.rand(5, 2)
    guess = mean if sigma is None else torch.cat([mean, torch.full((5, 2), math.log(sigma))], dim=1)
    density = torch.distributions.Normal(mean, sigma or 1.0).log_prob(codes)
    expected = density.sum(dim=1).mean() + 2 * math.log(2)
    assert continuous_bound(guess, codes).item() == pytest.approx(expected.item(), abs=1e-5)


def test_q_is_the_paper_s_and_says_deviations_only_where_they_are_learned() -> None:
    latent = Latent(categorical=(10,), continuous=2)
    q = Guesser(1024, latent, InformationOptions())
    assert [layer.out_features for layer in q.modules() if isinstance(layer, nn.Linear)] == [128, 12]
    assert {type(layer) for layer in q.layers} == {nn.Linear, nn.BatchNorm1d, nn.LeakyReLU}
    assert Guesser(8, latent, InformationOptions(variance="learned"))(torch.zeros(2, 8)).shape == (2, 14)


def test_both_players_pay_q_moves_with_the_generator_and_d_with_what_it_shares(registry: Registry) -> None:
    config, data = resolve({"recipe": "infogan", "data": "digits", "architecture": {"width": 4}}, registry)
    game = build_game(config, data.spec, registry)
    q = set(game.networks["discriminator_q"].parameters())
    owners = {p.role: p.networks for p in game.players}
    assert owners == {"discriminator": ["discriminator"], "generator": ["generator", "discriminator_q"]}
    assert q <= set(player(game, "generator").parameters)
    assert not q & set(player(game, "discriminator").parameters)


def test_the_bound_s_gradient_reaches_generator_trunk_and_q_in_their_own_moves(registry: Registry) -> None:
    from ganforge.core.draw import Draw, Stream
    from ganforge.core.game import Clock, Step

    config, data = resolve({"recipe": "infogan", "data": "digits", "architecture": {"width": 4}}, registry)
    game = build_game(config, data.spec, registry)
    for role, moved in (("generator", {"generator", "discriminator_q"}), ("discriminator", {"discriminator"})):
        mover = player(game, role)
        step = Step(game, mover, Draw(0, 0, role, 0, 8, game.device, Stream(data, 0), 0), Clock(0, 1, 0))
        game.zero_grad()
        game.effects["mutual-information"].penalty(step).backward(inputs=mover.parameters)
        got = {
            name
            for name, net in game.networks.items()
            if any((p.grad is not None and p.grad.abs().sum() > 0) for p in net.parameters())
        }
        assert got == moved


def test_a_latent_without_codes_is_one_sentence(registry: Registry) -> None:
    config, data = resolve(
        {"recipe": "dcgan", "data": "digits", "regularizers": {"mutual-information": True}}, registry
    )
    with pytest.raises(GanforgeError, match=r"needs codes .*latent.categorical=\[10\]"):
        build_game(config, data.spec, registry)


def test_the_recipe_is_appendix_c(registry: Registry) -> None:
    config = resolved(registry, "infogan", "digits")
    assert config.latent == Latent(name="uniform", dim=62, categorical=(10,), continuous=2)
    assert (config.discriminator.lr, config.generator.lr) == (2e-4, 1e-3)
    assert {config.discriminator.betas, config.generator.betas} == {(0.5, 0.999)}
    assert config.regularizers["mutual-information"] == {
        "categorical_weight": 1.0,
        "continuous_weight": 1.0,
        "variance": "unit",
        "hidden": 128,
    }


@pytest.mark.parametrize(
    "data",
    [
        ("digits", *SMALL),
        ("digits", *SMALL, "regularizers.mutual-information.variance=learned", "conditioning=concat"),
        ("ring", "regularizers.mutual-information.hidden=4"),
    ],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "infogan", *data)
