"""LSGAN: the loss by hand, its optimal discriminator and its divergence in closed form, the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import P, Q, assert_resumes_exactly, resolved, said, says

from ganforge.core import GanforgeError
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.lsgan import LeastSquaresOptions
from ganforge.plugins.papers.lsgan.losses import LeastSquares

PEARSON = {"a": -1.0, "b": 1.0, "c": 0.0}


def loss(**options: float) -> LeastSquares:
    return LeastSquares(parse(LeastSquaresOptions, options))


def test_the_losses_are_equation_9_by_default() -> None:
    duel = said([1.0, 0.0], [0.5, 2.0])
    assert loss().discriminator(duel).item() == pytest.approx(0.5 * (0 + 1) / 2 + 0.5 * (0.25 + 4) / 2)
    assert loss().generator(duel).item() == pytest.approx(0.5 * (0.25 + 1) / 2)


def test_without_the_half_both_losses_double() -> None:
    duel = said([1.0, 0.3], [0.5, 2.0])
    for player in ("discriminator", "generator"):
        assert getattr(loss(half=False), player)(duel) == 2 * getattr(loss(half=True), player)(duel)


@pytest.mark.parametrize("targets", [{}, PEARSON, {"a": 0.5, "b": -2.0, "c": 3.0}])
def test_the_optimal_discriminator_is_equation_5(targets: dict[str, float]) -> None:
    module = loss(**targets)
    best = ((module.b * P + module.a * Q) / (P + Q)).requires_grad_()
    value = module.discriminator(says(best))
    value.backward()
    assert best.grad is not None
    assert best.grad.abs().max() < 1e-6
    for point in range(3):
        other = best.detach().clone()
        other[point] += 0.01
        assert module.discriminator(says(other)) > value


def test_against_the_optimal_discriminator_the_generator_minimises_pearsons_divergence() -> None:
    """Equation 7, for b - c = 1 and b - a = 2: 2C(G) is chi-squared between p + q and 2q."""
    module = loss(**PEARSON)
    best = (module.b * P + module.a * Q) / (P + Q)
    on_real, on_fake = says(best)
    cost = module.generator(said([], on_fake.logits)) + module.generator(said([], on_real.logits))
    pearson = ((2 * Q - (P + Q)).square() / (P + Q)).sum()
    assert 2 * cost.item() == pytest.approx(pearson.item())


@pytest.mark.parametrize("targets", [{}, PEARSON])
def test_the_reading_is_half_where_the_discriminator_cannot_tell(registry: Registry, targets: dict[str, float]) -> None:
    module, reading = loss(**targets), registry.find("loss", "least-squares").reading
    assert module.read(torch.tensor([module.a, module.b, (module.a + module.b) / 2])).tolist() == [0, 1, 0.5]
    assert (reading.even, reading.zero_is_failure) == (0.5, True)


def test_equal_targets_are_refused() -> None:
    with pytest.raises(GanforgeError) as error:
        loss(a=1.0)
    assert str(error.value).endswith("the targets a (fake) and b (real) must differ, but both are 1")


def test_the_recipe_has_the_papers_numbers(registry: Registry) -> None:
    config = resolved(registry, "lsgan", "digits")
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas, player.moves) == ("adam", 1e-3, (0.5, 0.999), 1)
    assert config.loss.values == {"a": 0.0, "b": 1.0, "c": 1.0, "half": True}
    assert (config.architecture.name, config.batch_size) == ("dcgan", 64)


@pytest.mark.parametrize("data", [("digits", "architecture.width=4"), ("ring",)])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "lsgan", *data)
