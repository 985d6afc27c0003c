"""PacGAN: what a pack is, what losses, penalties and views see of it, and the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import Critic, assert_resumes_exactly, make_game, make_step, mlp_critic, move, resolved
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.config import Component
from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Critique, Effect, LossModule, Networks, Parts, Step
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.papers.pacgan.game import PacGame, packed
from ganforge.plugins.papers.pacgan.packing import Packed, pack, unpack
from ganforge.plugins.papers.vanilla import CrossEntropyOptions
from ganforge.plugins.papers.vanilla.losses import NonSaturating
from ganforge.plugins.papers.wgan_gp import PenaltyOptions
from ganforge.plugins.papers.wgan_gp.penalty import GradientPenalty


class Noise(Effect):
    """A view that shows the size of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def view(self, images: Tensor, draw: Draw, clock: Clock) -> Tensor:
        self.seen.append(tuple(images.shape))
        return images + 0.1 * draw.normal("noise", *images.shape[1:])


class Judge(nn.Module):
    """A linear critic of packs of two points in the plane that remembers what it was given."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(len(weight), 1, bias=False)
        self.layer.weight.data.copy_(torch.tensor([weight]))
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        self.seen.append((x, labels))
        return Critique(self.layer(x).flatten(), x)


def pac_game(judge: nn.Module, loss: LossModule | None = None, m: int = 2, **effects: Effect) -> PacGame:
    """A small game on points in which packs are judged."""
    usual = make_game(mlp_critic(), loss)
    config = usual.config.model_copy(update={"recipe": Component(name="pacgan", samples=m)})
    networks = Networks(usual.networks["generator"], mlp_critic())
    built: list[DataSpec] = []

    def build(data: DataSpec, options: Any) -> Networks:
        built.append(data)
        return networks._replace(discriminator=judge)

    game = PacGame(Parts(config, usual.data, networks, usual.loss, effects, usual.device, build))
    assert [data.shape for data in built] == [(2 * m,)]
    return game


def pac_step(game: PacGame, role: str = "discriminator") -> Step:
    step = make_step(game, role)
    return game.make_step(step.player, step.draw, step.clock)


# Packs.


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_a_pack_is_its_samples_along_the_channels(shape: tuple[int, ...]) -> None:
    x = torch.randn(6, *shape)
    packs = pack(x, 3)
    assert packs.shape == (2, 3 * shape[0], *shape[1:])
    assert torch.equal(packs[1], torch.cat([x[3], x[4], x[5]]))
    assert torch.equal(unpack(packs, 3), x)


def test_the_discriminator_is_built_for_packs() -> None:
    assert packed(DataSpec(shape=(3, 16, 16), classes=("a",)), 2) == DataSpec(shape=(6, 16, 16), classes=("a",))
    assert packed(DataSpec(shape=(2,)), 4).shape == (8,)


def test_a_judged_pack_has_one_logit() -> None:
    judge = Judge([1.0, 10.0, 100.0, 1000.0])
    logits = Packed(judge, 2)(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])).logits
    assert logits.tolist() == [4321.0, 8765.0]


# What a loss and a penalty see.


def test_losses_are_means_over_packs_with_a_target_each() -> None:
    """Random smoothing draws a target for each pack: half as many as there are samples."""
    loss = NonSaturating(CrossEntropyOptions(smoothing="random"))
    game = pac_game(Judge([0.3, -0.2, 0.5, 0.1]), loss)
    step = pac_step(game)
    (duel,) = step.duels
    draw = duel.draw.scoped("loss")
    targets = [0.7 + 0.5 * draw.uniform("real/target"), 0.3 * draw.uniform("fake/target")]
    logits = [pack(samples, 2) @ torch.tensor([0.3, -0.2, 0.5, 0.1]) for samples in (step.real, step.fake)]
    expected = sum(
        (t * softplus(-logit) + (1 - t) * softplus(logit)).mean() for t, logit in zip(targets, logits, strict=True)
    )
    objective = game.objective(step.player, step.draw, step.clock)
    assert objective.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert targets[0].shape == (3,)
    assert step.real.shape == step.fake.shape == (6, 2)
    assert objective.scalars["d_real"].item() == pytest.approx(logits[0].sigmoid().mean().item(), rel=1e-5)


def test_a_gradient_penalty_is_on_whole_packs() -> None:
    """‖∇D‖ of a linear judge is its weight's norm over both samples, 13, and not the 5 and 12 of each."""
    effect = GradientPenalty(PenaltyOptions(weight=1.0))
    game = pac_game(judge := Judge([3.0, 4.0, 0.0, 12.0]), gp=effect)
    step = pac_step(game)
    (duel,) = step.duels
    assert effect.penalty(duel).item() == pytest.approx((13 - 1) ** 2, rel=1e-5)
    between = judge.seen[-1][0]
    real, fake = pack(step.real, 2), pack(step.fake, 2)
    shares = (between - fake) / (real - fake)
    assert torch.allclose(shares, shares[:, :1].expand(-1, 4), atol=1e-3)


def test_single_samples_are_refused_in_a_sentence() -> None:
    step = pac_step(pac_game(Judge([1.0, 1.0, 1.0, 1.0])))
    with pytest.raises(GanforgeError, match="judges packs of 2, and a regularizer showed it single samples"):
        step.duels[0].critique(step.real)


def test_views_see_single_samples_each_with_its_own_randomness() -> None:
    noise = Noise()
    game = pac_game(judge := Judge([1.0, 1.0, 1.0, 1.0]), noise=noise)
    step = pac_step(game)
    assert torch.equal(step.on_real.logits, step.duels[0].on_real.logits)
    assert noise.seen == [(6, 2)]
    added = judge.seen[0][0] - pack(step.real, 2)
    assert len({round(value, 5) for value in added.flatten().tolist()}) == 12


def test_every_number_is_computed_once() -> None:
    game = pac_game(judge := Judge([1.0, 1.0, 1.0, 1.0]), NonSaturating(CrossEntropyOptions()))
    move(game, "discriminator")
    assert len(judge.seen) == 2
    move(game, "generator")
    assert len(judge.seen) == 3


def test_a_pack_has_the_label_of_its_first_sample() -> None:
    game = pac_game(judge := Judge([1.0, 1.0, 1.0, 1.0]))
    game.data = game.data.model_copy(update={"classes": ("a", "b", "c")})
    step = pac_step(game)
    step.batch = step.batch._replace(labels=torch.tensor([0, 1, 2, 0, 1, 2]))
    (duel,) = step.duels
    assert duel.on_real.logits.shape == duel.on_fake.logits.shape == (3,)
    assert judge.seen[0][1].tolist() == duel.real_labels.tolist() == [0, 2, 1]
    assert torch.equal(judge.seen[1][1], step.labels[::2])
    assert torch.equal(duel.fake_labels, step.labels[::2])


def test_packs_of_one_are_the_plain_game() -> None:
    loss = NonSaturating(CrossEntropyOptions(smoothing="random"))
    plain, game = make_game(mlp_critic(), loss, noise=Noise()), pac_game(mlp_critic(), loss, 1, noise=Noise())
    for role in ("discriminator", "generator", "discriminator"):
        move(plain, role)
        move(game, role)
    for name, network in (("generator", game.networks["generator"]), ("discriminator", game.networks["discriminator"])):
        theirs = list(plain.networks[name].parameters())
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), theirs, strict=True))


def test_a_packed_discriminator_sees_a_lost_mode_that_a_single_one_cannot() -> None:
    """Reals are ±1, fakes only +1 or only -1, changing from pack to pack: alone, each looks as real as any."""
    real = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0])[:, None]
    fake = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0])[:, None]
    product = Packed(Critic(lambda critic, x: x[:, 0] * x[:, 1]), 2)
    assert (real.mean(), product(real).logits.mean()) == (0, 0)
    assert (fake.mean(), product(fake).logits.mean()) == (0, 1)


# The recipe.


@pytest.mark.parametrize("data", ["ring", "digits"])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_the_batch_is_as_many_packs_whatever_their_size(registry: Registry, data: str, m: int) -> None:
    config = resolved(registry, "pacgan", data, f"recipe.samples={m}")
    assert (config.batch_size, config.loss.name) == (64 * m, "non-saturating")
    for player in (config.generator, config.discriminator):
        assert player.betas == (0.5, 0.999)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ["recipe.samples=3", "batch_size=64"],
            "option 'batch_size': 64 samples do not make whole packs of 3; take a multiple of 3",
        ),
        (
            ["recipe.samples=3", "batch_size=30", "accumulate=6"],
            "option 'batch_size': 30 samples do not make whole packs of 3 in each of 6 pieces; take a multiple of 18",
        ),
    ],
)
def test_a_batch_of_broken_packs_is_refused(registry: Registry, settings: list[str], sentence: str) -> None:
    config = resolved(registry, "pacgan", "ring", *settings)
    with pytest.raises(GanforgeError) as error:
        build_game(config, DataSpec(shape=(2,)), registry)
    assert str(error.value) == sentence


@pytest.mark.parametrize("conditioning", ["none", "concat", "projection", "auxiliary-classifier"])
def test_any_architecture_is_packed_with_any_conditioning(
    registry: Registry, tmp_path: Path, conditioning: str
) -> None:
    settings = ["architecture.width=4", f"discriminator.conditioning={conditioning}", "recipe.samples=4"]
    run = assert_resumes_exactly(registry, tmp_path, "pacgan", "digits", *settings)
    discriminator = run.game.networks["discriminator"]
    assert isinstance(discriminator, Packed)
    assert discriminator(torch.randn(8, 1, 16, 16), torch.zeros(8, dtype=torch.int64)).logits.shape == (2,)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("loss=wasserstein", "regularizers.gradient-penalty=true", "regularizers.instance-noise=true"),
        ("loss=hinge", "regularizers.spectral-norm=true", "fakes=shared", "order=generator-first"),
        ("accumulate=2", "loss.smoothing=random"),
    ],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "pacgan", "ring", *settings)
