"""The maths of `minimax` and `non-saturating`, through the built losses, against closed forms and torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganforge.core import GanforgeError, Loss, distributed
from ganforge.core.draw import Draw
from ganforge.core.game import Critique, LossModule
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.vanilla.losses import TARGETS, cross_entropy

LOSSES = ("minimax", "non-saturating")
P8, Q8 = (5, 1, 1, 1), (1, 1, 2, 4)
"""Two distributions on four points, in eighths: as many samples of each point make an exact expectation."""
P, Q = (torch.tensor(eighths, dtype=torch.float64) / 8 for eighths in (P8, Q8))


@dataclass
class FakeDuel:
    """What a loss uses of a duel."""

    on_real: Critique
    on_fake: Critique
    draw: Draw


def draw(n: int = 4, round_: int = 0, seed: int = 0) -> Draw:
    return Draw(seed, round_, "discriminator", 0, n, torch.device("cpu"), None, round_)  # type: ignore[arg-type]


def duel(real: Tensor, fake: Tensor, round_: int = 0) -> FakeDuel:
    return FakeDuel(Critique(real), Critique(fake), draw(len(real), round_))


def tabular(table: Tensor, p8: tuple[int, ...], q8: tuple[int, ...], times: int = 1) -> FakeDuel:
    """The duel of a critic given as a table of logits, on exactly weighted samples of p and q."""
    real, fake = (torch.arange(4).repeat_interleave(torch.tensor(e) * times) for e in (p8, q8))
    return duel(table[real], table[fake])


@pytest.fixture
def build(registry: Registry):
    def build_loss(name: str, **options: object) -> LossModule:
        spec = registry.find("loss", name)
        return spec.build(parse(spec.options, options, "loss"))

    return build_loss


def gradient(value: Tensor, wrt: Tensor) -> Tensor:
    return torch.autograd.grad(value, wrt)[0]


def optimal_logits(share: Tensor) -> Tensor:
    return torch.logit(share).requires_grad_()


@pytest.mark.parametrize("name", LOSSES)
def test_the_optimal_discriminator_is_p_over_p_plus_q(build, name):
    best = optimal_logits(P / (P + Q))
    assert gradient(build(name).discriminator(tabular(best, P8, Q8)), best).abs().max() < 1e-15
    other = torch.tensor([0.3, -1.0, 2.0, 0.1], dtype=torch.float64, requires_grad=True)
    by_hand = Q * other.sigmoid() - P * (1 - other.sigmoid())
    found = gradient(build(name).discriminator(tabular(other, P8, Q8)), other)
    torch.testing.assert_close(found, by_hand.detach())


@pytest.mark.parametrize("name", LOSSES)
def test_the_value_at_the_optimum_is_minus_log_4_plus_twice_the_jensen_shannon_divergence(build, name):
    middle = (P + Q) / 2
    jsd = ((P * (P / middle).log()).sum() + (Q * (Q / middle).log()).sum()).item() / 2
    assert jsd > 0.1
    value = -build(name).discriminator(tabular(torch.log(P / Q), P8, Q8)).item()
    assert value == pytest.approx(-math.log(4) + 2 * jsd, abs=1e-14)
    even = torch.zeros(4, dtype=torch.float64)
    value = -build(name).discriminator(tabular(even, P8, P8)).item()
    assert value == pytest.approx(-math.log(4), abs=1e-14)


@pytest.mark.parametrize(
    ("options", "real", "fake"),
    [
        ({"smoothing": "one-sided"}, 0.9, 0.0),
        ({"smoothing": "two-sided"}, 0.9, 0.1),
        ({"smoothing": "random"}, 0.95, 0.15),
        ({"flip": 0.2}, 0.8, 0.2),
        ({"smoothing": "one-sided", "flip": 0.2}, 0.72, 0.18),
    ],
)
def test_smoothing_moves_the_optimal_discriminator(build, options, real, fake):
    best = optimal_logits((real * P + fake * Q) / (P + Q))
    at_random = options.get("smoothing") == "random" or "flip" in options
    found = tabular(best, P8, Q8, times=4000 if at_random else 1)
    error = gradient(build("non-saturating", **options).discriminator(found), best).abs().max()
    assert error < (5e-3 if at_random else 1e-15)


def test_generator_losses_and_gradients_by_hand(build):
    fake = torch.tensor([0.0, math.log(3)], requires_grad=True)  # D = 1/2 and 3/4
    minimax, better = (build(name).generator(duel(fake, fake)) for name in LOSSES)
    assert minimax.item() == pytest.approx((math.log(1 / 2) + math.log(1 / 4)) / 2)
    assert better.item() == pytest.approx(-(math.log(1 / 2) + math.log(3 / 4)) / 2)
    torch.testing.assert_close(gradient(minimax, fake), torch.tensor([-1 / 4, -3 / 8]))
    torch.testing.assert_close(gradient(better, fake), torch.tensor([-1 / 4, -1 / 8]))


def test_minimax_is_one_value_that_both_players_pull(build):
    loss = build("minimax")
    fake = torch.tensor([-2.0, 0.5, 3.0], requires_grad=True)
    both = duel(torch.zeros(3), fake)
    descent = gradient(loss.discriminator(both), fake)
    torch.testing.assert_close(gradient(loss.generator(both), fake), -descent)


def test_only_minimax_saturates_while_the_discriminator_wins(build):
    fake = torch.tensor([-20.0], requires_grad=True)
    minimax, better = (gradient(build(name).generator(duel(fake, fake)), fake).item() for name in LOSSES)
    assert minimax == pytest.approx(-math.exp(-20), rel=1e-5)
    assert better == pytest.approx(-1, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_against_the_optimal_discriminator_the_generator_rests_where_q_is_p(build, name):
    def pull(theta: Tensor) -> Tensor:
        """The gradient in the generator's parameters of its exact expected loss, D optimal and fixed."""
        q = theta.softmax(0)
        each = [build(name).generator(duel(logit, logit)) for logit in torch.log(P / q).detach().split(1)]
        return gradient((q * torch.stack(each)).sum(), theta)

    assert pull(P.log().requires_grad_()).abs().max() < 1e-15
    assert pull(Q.log().requires_grad_()).abs().max() > 0.05


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 1, 2, 2)])
@pytest.mark.parametrize("smoothing", TARGETS)
def test_the_discriminators_loss_is_torchs_cross_entropy_on_the_same_targets(build, smoothing, shape):
    real, fake = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1)) * 4
    loss = build("non-saturating", smoothing=smoothing, flip=0.3)
    found = duel(real, fake)
    targets = (loss.target(found.draw.scoped("loss"), side, real.shape) for side in ("real", "fake"))
    peers = [F.binary_cross_entropy_with_logits(*pair) for pair in zip((real, fake), targets, strict=True)]
    torch.testing.assert_close(loss.discriminator(found), sum(peers))


def test_plain_labels_keep_full_precision_at_both_ends():
    assert cross_entropy(torch.tensor([30.0]), 1.0).item() == pytest.approx(math.exp(-30), rel=1e-6)
    assert cross_entropy(torch.tensor([-30.0]), 0.0).item() == pytest.approx(math.exp(-30), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("smoothing", TARGETS)
@pytest.mark.parametrize("logit", [0.0, 88.8, -88.8, 1e4, -1e4, 3e37, -3e37])
def test_extreme_logits_give_finite_losses_and_gradients(build, name, smoothing, logit):
    logits = torch.full((4,), logit, requires_grad=True)
    loss = build(name, smoothing=smoothing, flip=0.3)
    for player in ("discriminator", "generator"):
        value = getattr(loss, player)(duel(logits, logits))
        slope = gradient(value, logits)
        assert math.isfinite(value.item())
        assert slope.isfinite().all()
        assert slope.abs().max() <= 0.5


def test_random_targets_fill_their_ranges_each_sample_its_own(build):
    loss = build("minimax", smoothing="random")
    real, fake = (loss.target(draw(10_000), side, torch.Size([10_000])) for side in ("real", "fake"))
    assert 0.7 <= real.min() < 0.701
    assert 1.199 < real.max() <= 1.2
    assert 0 <= fake.min() < 0.001
    assert 0.299 < fake.max() <= 0.3
    assert torch.corrcoef(torch.stack([real, fake]))[0, 1].abs() < 0.05


@pytest.mark.parametrize(("smoothing", "flip"), [("random", 0.0), ("none", 0.3), ("random", 0.3)])
def test_targets_are_a_pure_function_of_the_position(build, smoothing, flip):
    loss, here = build("non-saturating", smoothing=smoothing, flip=flip), draw(64)
    for side in ("real", "fake"):
        first = loss.target(here, side, torch.Size([64]))
        torch.rand(7)
        assert torch.equal(loss.target(draw(64), side, torch.Size([64])), first)
        for elsewhere in (replace(here, round=1), replace(here, move=1), replace(here, seed=1)):
            assert not torch.equal(loss.target(elsewhere, side, torch.Size([64])), first)


def test_flips_happen_at_their_rate_to_the_other_sides_target(build):
    loss = build("non-saturating", smoothing="two-sided", flip=0.1)
    for side, own, other in (("real", 0.9, 0.1), ("fake", 0.1, 0.9)):
        told = loss.target(draw(20_000), side, torch.Size([20_000]))
        flipped = told == torch.tensor(other)
        assert ((told == torch.tensor(own)) | flipped).all()
        assert flipped.float().mean().item() == pytest.approx(0.1, abs=0.01)
    mixed = build("non-saturating", smoothing="random", flip=0.5).target(draw(20_000), "real", torch.Size([20_000]))
    assert ((mixed <= 0.3) | (mixed >= 0.7)).all()
    assert (mixed <= 0.3).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_each_logit_has_its_own_target_whatever_their_shape(build, monkeypatch: pytest.MonkeyPatch):
    """More logits than samples (columns), fewer (packs of samples), in one process or two."""
    loss = build("non-saturating", smoothing="random", flip=0.3)
    for shape in (torch.Size([4, 3]), torch.Size([2]), torch.Size([2, 5])):
        whole = loss.target(draw(4), "real", shape)
        assert whole.shape == shape
        assert len(whole.unique()) == shape.numel()
        halves = []
        for rank in (0, 1):
            monkeypatch.setattr(distributed, "world", lambda: 2)
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            halves.append(loss.target(draw(2), "real", torch.Size([shape[0] // 2, *shape[1:]])))
            monkeypatch.undo()
        assert torch.equal(torch.cat(halves), whole)
    packed = duel(torch.randn(4), torch.randn(4))
    packed.on_real, packed.on_fake = Critique(torch.randn(2)), Critique(torch.randn(2))
    assert loss.discriminator(packed).isfinite()


@pytest.mark.parametrize("name", LOSSES)
def test_labels_are_changed_for_the_discriminator_only(build, name):
    found = duel(*torch.linspace(-3, 3, 32).view(2, 16))
    plain, changed = build(name), build(name, smoothing="random", flip=0.3)
    assert torch.equal(plain.generator(found), changed.generator(found))
    assert not torch.equal(plain.discriminator(found), changed.discriminator(found))


@pytest.mark.parametrize("name", LOSSES)
def test_the_reading_is_a_probability(build, registry: Registry, name):
    spec: Loss = registry.find("loss", name)
    assert build(name).read(torch.tensor([0.0, math.log(3)])).tolist() == pytest.approx([0.5, 0.75])
    assert (spec.reading.label, spec.reading.even, spec.reading.zero_is_failure) == ("D(x)", 0.5, True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"flip": 0.7}, "option 'loss.flip': input should be less than or equal to 0.5, not 0.7"),
        ({"flips": 0.1}, "unknown option 'loss.flips'; did you mean 'flip'?"),
        (
            {"smoothing": "half"},
            "option 'loss.smoothing': input should be 'none', 'one-sided', 'two-sided' or 'random', not 'half'",
        ),
    ],
)
def test_bad_options_are_one_sentence(build, options, sentence):
    with pytest.raises(GanforgeError) as error:
        build("non-saturating", **options)
    assert str(error.value) == sentence
