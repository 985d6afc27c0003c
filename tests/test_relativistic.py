"""Relativistic losses: by hand, against cross-entropy, what they ignore; two processes; the recipes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from small_games import assert_resumes_exactly, resolved
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from two_processes import Shared, in_two

from ganforge.core import GanforgeError
from ganforge.core.game import Critique
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.relativistic import RelativisticOptions
from ganforge.plugins.papers.relativistic.losses import Relativistic, RelativisticAverage

REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
BASES = ["standard", "least-squares", "hinge"]
KINDS = [Relativistic, RelativisticAverage]
Kind = type[Relativistic] | type[RelativisticAverage]


def loss(kind: Kind, base: str) -> Relativistic | RelativisticAverage:
    return kind(parse(RelativisticOptions, {"base": base}))


def duel(real: Tensor, fake: Tensor) -> Shared:
    return Shared(lambda tensor: tensor.mean(dim=0), Critique(real), Critique(fake))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


# The pairs differ by 1.5 and -2. The averages are 0.5 and 0.75: reals are 1.25 and -1.75 above the average fake,
# fakes 0 and 0.5 above the average real.
BY_HAND = [
    (Relativistic, "standard", (softplus(-1.5) + softplus(2)) / 2, (softplus(1.5) + softplus(-2)) / 2),
    (Relativistic, "least-squares", (0.5**2 + 3**2) / 2, (2.5**2 + 1) / 2),
    (Relativistic, "hinge", (0 + 3) / 2, (2.5 + 0) / 2),
    (
        RelativisticAverage,
        "standard",
        (softplus(-1.25) + softplus(1.75)) / 2 + (softplus(0) + softplus(0.5)) / 2,
        (softplus(1.25) + softplus(-1.75)) / 2 + (softplus(0) + softplus(-0.5)) / 2,
    ),
    (
        RelativisticAverage,
        "least-squares",
        (0.25**2 + 2.75**2) / 2 + (1 + 1.5**2) / 2,
        (2.25**2 + 0.75**2) / 2 + (1 + 0.5**2) / 2,
    ),
    (RelativisticAverage, "hinge", (0 + 2.75) / 2 + (1 + 1.5) / 2, (2.25 + 0) / 2 + (1 + 0.5) / 2),
]


@pytest.mark.parametrize(("kind", "base", "discriminator", "generator"), BY_HAND)
def test_by_hand(kind: Kind, base: str, discriminator: float, generator: float) -> None:
    built, said = loss(kind, base), duel(REAL, FAKE)
    assert built.discriminator(said).item() == pytest.approx(discriminator, rel=1e-5)
    assert built.generator(said).item() == pytest.approx(generator, rel=1e-5)


def test_the_standard_kind_is_the_cross_entropy_of_which_is_real() -> None:
    real, fake = torch.randn(2, 50, generator=torch.Generator().manual_seed(1))
    ones, zeros = torch.ones(50), torch.zeros(50)
    pairs, average = loss(Relativistic, "standard"), loss(RelativisticAverage, "standard")
    expected = binary_cross_entropy_with_logits(real - fake, ones)
    assert pairs.discriminator(duel(real, fake)).item() == pytest.approx(expected.item(), rel=1e-5)
    expected = binary_cross_entropy_with_logits(real - fake.mean(), ones)
    expected = expected + binary_cross_entropy_with_logits(fake - real.mean(), zeros)
    assert average.discriminator(duel(real, fake)).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", KINDS)
def test_only_differences_count_and_the_players_want_opposite_things(kind: Kind, base: str) -> None:
    real, fake = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(1))
    built = loss(kind, base)
    told, elsewhere, swapped = duel(real, fake), duel(real + 7, fake + 7), duel(fake, real)
    assert built.discriminator(elsewhere).item() == pytest.approx(built.discriminator(told).item(), rel=1e-4)
    assert built.generator(elsewhere).item() == pytest.approx(built.generator(told).item(), rel=1e-4)
    assert built.generator(told).item() == pytest.approx(built.discriminator(swapped).item(), rel=1e-5)


def test_the_generator_wants_reals_to_look_fake_as_well() -> None:
    """What the paper calls the missing key: the generator's loss has a gradient in D(real)."""
    for kind in KINDS:
        real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
        loss(kind, "standard").generator(duel(real, fake)).backward()
        assert (real.grad > 0).all()
        assert (fake.grad < 0).all()


@pytest.mark.parametrize("base", BASES)
def test_two_processes_average_over_both(base: str) -> None:
    real, fake = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    built = loss(RelativisticAverage, base)

    def half(rank: int, mean: object) -> Tensor:
        rows = slice(4 * rank, 4 * rank + 4)
        return built.discriminator(Shared(mean, Critique(real[rows]), Critique(fake[rows])))  # type: ignore[arg-type]

    together = torch.stack(in_two(half)).mean()
    assert together.item() == pytest.approx(built.discriminator(duel(real, fake)).item(), rel=1e-5)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(GanforgeError, match=r"option 'base': .*'standard', 'least-squares' or 'hinge'"):
        loss(Relativistic, "wasserstein")


@pytest.mark.parametrize("recipe", ["relativistic", "relativistic-average"])
def test_the_recipes_are_the_papers(registry: Registry, recipe: str) -> None:
    config = resolved(registry, recipe, "digits")
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas, player.moves) == ("adam", 2e-4, (0.5, 0.999), 1)
    assert (config.loss.name, config.loss.values, config.batch_size) == (recipe, {"base": "standard"}, 32)
    assert config.regularizers == {"spectral-norm": {"networks": "discriminator", "iterations": 1}}
    assert config.architecture.values["discriminator_norm"] == "none"


@pytest.mark.parametrize("recipe", ["relativistic", "relativistic-average"])
@pytest.mark.parametrize(
    "data", [("digits", "architecture.width=4", "conditioning=projection", "loss.base=hinge"), ("ring",)]
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, recipe: str, data: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, recipe, *data)
