"""f-GAN: each divergence's functions against its f, bounds against closed forms and quadrature, the recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_games import P, Q, assert_resumes_exactly, resolved, said, says
from torch import Tensor
from torch.nn.functional import logsigmoid

from ganforge.core import GanforgeError
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.fgan import DivergenceOptions
from ganforge.plugins.papers.fgan.losses import DIVERGENCES, FDivergence

NAMES = ["kl", "reverse-kl", "pearson", "squared-hellinger", "jensen-shannon", "gan"]

F: dict[str, Callable[[Tensor], Tensor]] = {
    "kl": lambda u: u * u.log(),
    "reverse-kl": lambda u: -u.log(),
    "pearson": lambda u: (u - 1) ** 2,
    "squared-hellinger": lambda u: (u.sqrt() - 1) ** 2,
    "jensen-shannon": lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
    "gan": lambda u: u * u.log() - (u + 1) * (u + 1).log(),
}
"""f, from the paper's table 1."""

BEST: dict[str, Callable[[Tensor], Tensor]] = {
    "kl": lambda r: r.log() + 1,
    "reverse-kl": lambda r: r.log(),
    "pearson": lambda r: 2 * (r - 1),
    "squared-hellinger": lambda r: r.log() / 2,
    "jensen-shannon": lambda r: r.log(),
    "gan": lambda r: r.log(),
}
"""The v whose T = g_f(v) is the optimal one, f'(r), for the density ratio r: derived by hand."""

OUTPUTS = torch.linspace(-3, 3, 61, dtype=torch.float64)

# Two Gaussians: P = N(0.3, 1), Q = N(-0.2, 1.2²).
MEAN_P, MEAN_Q, STD_P, STD_Q = 0.3, -0.2, 1.0, 1.2


def loss(divergence: str, **options: bool) -> FDivergence:
    return FDivergence(parse(DivergenceOptions, {"divergence": divergence, **options}))


def slope_of(f: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(at).sum(), at)
    return slope


def kl(mean: float, std: float, other_mean: float, other_std: float) -> float:
    return math.log(other_std / std) + (std**2 + (mean - other_mean) ** 2) / (2 * other_std**2) - 0.5


def pearson() -> float:
    """∫ p²/q - 1, a Gaussian integral."""
    precision = 2 / STD_P**2 - 1 / STD_Q**2
    linear = 2 * MEAN_P / STD_P**2 - MEAN_Q / STD_Q**2
    constant = 2 * MEAN_P**2 / STD_P**2 - MEAN_Q**2 / STD_Q**2
    return STD_Q / (STD_P**2 * math.sqrt(precision)) * math.exp((linear**2 / precision - constant) / 2) - 1


def squared_hellinger() -> float:
    """2 - 2 ∫ √(pq)."""
    total = STD_P**2 + STD_Q**2
    return 2 - 2 * math.sqrt(2 * STD_P * STD_Q / total) * math.exp(-((MEAN_P - MEAN_Q) ** 2) / (4 * total))


def jensen_shannon() -> float:
    """∫ p log 2p/(p+q) + q log 2q/(p+q), by Simpson's rule."""
    x = torch.linspace(-15, 15, 20_001, dtype=torch.float64)
    p = torch.distributions.Normal(MEAN_P, STD_P).log_prob(x)
    q = torch.distributions.Normal(MEAN_Q, STD_Q).log_prob(x)
    values = p.exp() * (logsigmoid(p - q) + math.log(2)) + q.exp() * (logsigmoid(q - p) + math.log(2))
    return float((x[1] - x[0]) / 3 * (values[0] + 4 * values[1::2].sum() + 2 * values[2:-1:2].sum() + values[-1]))


CLOSED: dict[str, float] = {
    "kl": kl(MEAN_P, STD_P, MEAN_Q, STD_Q),
    "reverse-kl": kl(MEAN_Q, STD_Q, MEAN_P, STD_P),
    "pearson": pearson(),
    "squared-hellinger": squared_hellinger(),
    "jensen-shannon": jensen_shannon(),
    "gan": jensen_shannon() - math.log(4),
}


def quantiles(mean: float, std: float, n: int = 200_001) -> Tensor:
    """Points whose plain mean is an expectation under the Gaussian: midpoints of equal shares."""
    shares = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.distributions.Normal(mean, std).icdf(shares)


def ratio(x: Tensor) -> Tensor:
    p, q = torch.distributions.Normal(MEAN_P, STD_P), torch.distributions.Normal(MEAN_Q, STD_Q)
    return (p.log_prob(x) - q.log_prob(x)).exp()


# The functions.


@pytest.mark.parametrize("name", NAMES)
def test_the_conjugate_is_the_supremum_of_ut_minus_f(name: str) -> None:
    """f*(t) = sup ut - f(u) over u > 0, searched on a grid; T = g_f(v) for v between -3 and 3."""
    functions = DIVERGENCES[name]  # type: ignore[index]
    v = OUTPUTS[OUTPUTS > -1.9] if name == "pearson" else OUTPUTS  # below -2 the supremum over u > 0 is at 0
    u = torch.logspace(-6, 6, 40_001, dtype=torch.float64)
    supremum = (functions.activation(v)[:, None] * u - F[name](u)).max(dim=1).values
    assert torch.allclose(functions.conjugate(v), supremum, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("kl", -math.inf, math.inf),
        ("reverse-kl", -math.inf, 0),
        ("pearson", -math.inf, math.inf),
        ("squared-hellinger", -math.inf, 1),
        ("jensen-shannon", -math.inf, math.log(2)),
        ("gan", -math.inf, 0),
    ],
)
def test_activations_rise_and_stay_in_the_conjugates_domain(name: str, low: float, high: float) -> None:
    v = torch.linspace(-20, 20, 401, dtype=torch.float64)
    t = DIVERGENCES[name].activation(v)  # type: ignore[index]
    assert ((low < t) & (t < high)).all()
    assert (t.diff() > 0).all()
    # The upper end of the domain is approached, so that no ratio is out of reach.
    assert t[-1] > (high - 1e-8 if math.isfinite(high) else 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_optimal_output_is_the_slope_of_f_and_reads_as_a_probability(name: str) -> None:
    ratios = torch.logspace(-3, 3, 41, dtype=torch.float64)
    v = BEST[name](ratios)
    assert torch.allclose(DIVERGENCES[name].activation(v), slope_of(F[name], ratios))  # type: ignore[index]
    assert torch.allclose(loss(name).read(v), ratios / (1 + ratios))


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        ("kl", 1.0),
        ("reverse-kl", -1.0),
        ("pearson", 0.0),
        ("squared-hellinger", 0.0),
        ("jensen-shannon", 0.0),
        ("gan", -math.log(2)),
    ],
)
def test_at_the_papers_threshold_a_sample_is_as_likely_real_as_not(name: str, threshold: float) -> None:
    v = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    above = DIVERGENCES[name].activation(v) > threshold + 1e-9  # type: ignore[index]
    assert torch.equal(above, loss(name).read(v) > 0.5 + 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_is_a_probability_however_sure_the_critic_is(name: str) -> None:
    read = loss(name).read(torch.tensor([-1e4, -5.0, 5.0, 1e4]))
    assert ((read >= 0) & (read <= 1)).all()
    assert (read.diff() >= 0).all()


# The bound.


@pytest.mark.parametrize("name", NAMES)
def test_with_the_optimal_critic_the_bound_is_the_divergence_of_two_gaussians(name: str) -> None:
    on_real, on_fake = (BEST[name](ratio(quantiles(*law))) for law in ((MEAN_P, STD_P), (MEAN_Q, STD_Q)))
    bound = -loss(name).discriminator(said(on_real, on_fake))
    assert bound.item() == pytest.approx(CLOSED[name], abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_no_other_critic_bounds_it_higher(name: str) -> None:
    module, best = loss(name), BEST[name](P / Q).requires_grad_()
    value = module.discriminator(says(best))
    value.backward()
    assert best.grad is not None
    assert best.grad.abs().max() < 1e-6
    assert -value.item() == pytest.approx((Q * F[name](P / Q)).sum().item(), abs=1e-6)
    for point in range(3):
        other = best.detach().clone()
        other[point] += 0.05
        assert module.discriminator(says(other)) > value


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_minimises_the_bounds_second_half(name: str) -> None:
    v = torch.tensor([-1.0, 0.3, 0.8])
    functions, duel = DIVERGENCES[name], said([], v)  # type: ignore[index]
    assert torch.equal(loss(name).generator(duel), -functions.conjugate(v).mean())
    assert torch.equal(loss(name, alternative=True).generator(duel), -functions.activation(v).mean())


@pytest.mark.parametrize("alternative", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_both_ways_the_generator_raises_the_critics_output(name: str, alternative: bool) -> None:
    v = torch.tensor([-1.5, -0.5, 0.0, 1.0], requires_grad=True)
    loss(name, alternative=alternative).generator(said([], v)).backward()
    assert v.grad is not None
    assert (v.grad < 0).all()


def test_an_unknown_divergence_is_named() -> None:
    with pytest.raises(GanforgeError, match="divergence"):
        loss("total-variation")


# The recipe.


def test_the_recipe_has_the_papers_numbers(registry: Registry) -> None:
    config = resolved(registry, "fgan", "digits")
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas, player.moves) == ("adam", 2e-4, (0.5, 0.999), 1)
    assert (config.latent.name, config.latent.dim) == ("uniform", 100)
    assert (config.loss.name, config.architecture.name) == ("f-divergence", "dcgan")
    assert resolved(registry, "fgan", "ring").architecture.name == "mlp"


@pytest.mark.parametrize("data", [("digits", "architecture.width=4"), ("ring",)])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "fgan", *data)
