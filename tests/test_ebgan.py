"""EBGAN: the margin loss, the pulling-away term, the autoencoder and the recipes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import Affine, Critic, assert_resumes_exactly, make_game, make_step, move, player, resolved, said
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.game import Critique, Networks
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.ebgan import EbganOptions
from ganforge.plugins.papers.ebgan.losses import EnergyMargin
from ganforge.plugins.papers.ebgan.networks import build
from ganforge.plugins.papers.ebgan.pulling_away import PullingAway, pulling_away


def networks(*shape: int, width: int = 4) -> Networks:
    return build(parse(EbganOptions, {"width": width}), Built(data=DataSpec(shape=shape), latent=Latent(dim=5)))


def convolutions(module: nn.Module) -> list[tuple[int, ...]]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [(m.out_channels, *m.kernel_size, *m.stride) for m in module.modules() if isinstance(m, kinds)]


class WithFeatures(Critic):
    """A critic of points whose features are the points themselves."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        return Critique(self.function(self, x), x)


# Equations 1 and 2.


def test_the_losses_by_hand() -> None:
    duel = said([0.5, 1.5], [0.0, 3.0, 1.0])
    assert EnergyMargin(2.0).discriminator(duel).item() == pytest.approx(1.0 + (2 + 0 + 1) / 3)
    assert EnergyMargin(2.0).generator(duel).item() == pytest.approx(4 / 3)


def test_fakes_beyond_the_margin_teach_nothing() -> None:
    fake = torch.tensor([0.5, 2.0, 9.0], requires_grad=True)
    EnergyMargin(1.0).discriminator(said([1.0], fake)).backward()
    assert fake.grad is not None
    assert fake.grad.tolist() == pytest.approx([-1 / 3, 0, 0])


def test_in_equilibrium_the_discriminator_pays_the_margin() -> None:
    """Theorem 1: with P = Q, an energy that is the same everywhere costs m, and none in [0, m] costs less."""
    for level in (0.0, 0.4, 1.0):
        energies = torch.full((4,), level)
        assert EnergyMargin(1.0).discriminator(said(energies, energies)).item() == pytest.approx(1)


def test_energies_below_zero_count_as_zero() -> None:
    duel = said([-5.0, 1.0], [-3.0, 2.0])
    assert EnergyMargin(1.0).discriminator(duel).item() == pytest.approx(0.5 + 4 / 2)
    assert EnergyMargin(1.0).generator(duel).item() == pytest.approx(1)


# Equation 4.


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([[1.0, 0.0], [0.0, 2.0]], 0),
        ([[1.0, 1.0], [3.0, 3.0], [-2.0, -2.0]], 1),
        ([[1.0, 0.0], [1.0, 1.0]], 0.5),
        # Angles of 0, 60 and 90 degrees: cos² of the three pairs 1/4, 0 and 3/4.
        ([[1.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 5.0]], 1 / 3),
    ],
)
def test_the_term_is_the_mean_squared_cosine_of_pairs(codes: list[list[float]], expected: float) -> None:
    assert pulling_away(torch.tensor(codes)).item() == pytest.approx(expected, abs=1e-6)


def test_the_term_is_the_papers_double_sum() -> None:
    codes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    cosines = [codes[i] @ codes[j] / (codes[i].norm() * codes[j].norm()) for i, j in pairs]
    assert pulling_away(codes).item() == pytest.approx(sum(c.item() ** 2 for c in cosines) / (6 * 5))


def test_it_is_the_generators_and_about_its_fakes_features() -> None:
    critic = WithFeatures(lambda critic, x: critic.layer(x).flatten(), layer=nn.Linear(2, 1))
    game = make_game(critic, pull=PullingAway(0.1))
    step = make_step(game, "generator")
    objective = game.objective(step.player, step.draw, step.clock)
    expected = 0.1 * pulling_away(objective.step.fake)
    assert objective.scalars["penalty/pull"].item() == pytest.approx(expected.item())
    step = make_step(game, "discriminator")
    assert "penalty/pull" not in game.objective(step.player, step.draw, step.clock).scalars


def test_it_spreads_the_codes_of_a_generator_that_makes_one_sample() -> None:
    critic = WithFeatures(lambda critic, x: critic.layer(x).flatten(), layer=nn.Linear(2, 1))
    game = make_game(critic, pull=PullingAway(1.0))
    generator = game.networks["generator"]
    assert isinstance(generator, Affine)
    generator.layer.weight.data.mul_(0.05)
    generator.layer.bias.data.fill_(1.0)
    player(game, "generator").optimizer.param_groups[0]["lr"] = 0.01
    before = pulling_away(make_step(game, "generator").fake)
    for round_ in range(300):
        move(game, "generator", round=round_)
    after = pulling_away(make_step(game, "generator").fake)
    assert before > 0.95
    assert after < before - 0.1


def test_without_features_it_says_what_would_have_them() -> None:
    critic = Critic(lambda critic, x: critic.layer(x).flatten(), layer=nn.Linear(2, 1))
    with pytest.raises(GanforgeError, match=r"pulling-away.*features"):
        PullingAway(0.1).penalty(make_step(make_game(critic), "generator"))


# The networks.


def test_at_64_the_autoencoder_is_appendix_d() -> None:
    discriminator = networks(3, 64, 64, width=64).discriminator
    four, two = (4, 4), (2, 2)
    assert convolutions(discriminator.encoder) == [(w, *four, *two) for w in (64, 128, 256)]
    assert convolutions(discriminator.decoder) == [(w, *four, *two) for w in (128, 64, 3)]
    assert [m[0] for m in convolutions(networks(3, 128, 128).discriminator.encoder)] == [4, 8, 16, 32]


def test_the_energy_is_the_mean_squared_error_of_each_samples_reconstruction() -> None:
    discriminator = networks(1, 16, 16).discriminator.eval()
    for parameter in discriminator.parameters():
        parameter.data.mul_(30)
    x = torch.rand(3, 1, 16, 16) * 2 - 1
    critique = discriminator(x)
    reconstruction = critique.aux["reconstruction"]
    assert reconstruction.shape == x.shape
    assert reconstruction.abs().max() > 0
    for i in range(3):
        assert critique.logits[i].item() == pytest.approx(mse_loss(reconstruction[i], x[i]).item(), rel=1e-5)
    assert torch.equal(critique.features, discriminator.encoder(x))


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64, 128, 256])
def test_every_size_fits(side: int) -> None:
    made = networks(1, side, side, width=1)
    images = made.generator(torch.zeros(2, 5)).images
    assert images.shape == (2, 1, side, side)
    assert images.abs().max() <= 1
    assert made.discriminator(images).logits.shape == (2,)


def test_the_two_networks_start_as_in_appendix_c() -> None:
    made = networks(3, 32, 32, width=64)
    for network, deviation in ((made.generator, 0.02), (made.discriminator, 0.002)):
        weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        together = torch.cat([weight.flatten() for weight in weights])
        assert together.std().item() == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize("shape", [(1, 24, 24), (1, 16, 32), (3, 512, 512)])
def test_other_sizes_are_refused_in_a_sentence(shape: tuple[int, ...]) -> None:
    with pytest.raises(GanforgeError, match="architecture 'ebgan' cannot build"):
        networks(*shape)


# The recipes.


def test_the_recipes_are_the_papers(registry: Registry) -> None:
    plain, pulled = (resolved(registry, name, "digits") for name in ("ebgan", "ebgan-pt"))
    for side in (plain.generator, plain.discriminator):
        assert (side.optimizer, side.lr, side.moves) == ("adam", 1e-3, 1)
    assert (plain.architecture.name, plain.loss.name) == ("ebgan", "energy-margin")
    assert plain.regularizers == {}
    assert pulled.regularizers == {"pulling-away": {"weight": 0.1}}
    changed: Any = {"recipe", "regularizers", "plugins"}
    assert plain.model_dump(exclude=changed) == pulled.model_dump(exclude=changed)


@pytest.mark.parametrize(
    ("recipe", "data"),
    [("ebgan-pt", ("digits", "architecture.width=2")), ("ebgan", ("ring", "architecture.width=8"))],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, recipe: str, data: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, recipe, *data)
