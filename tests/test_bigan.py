"""BiGAN: equation 2 and its gradients by hand, the fixed point, what penalties and pictures see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_games import Affine, assert_resumes_exactly, make_game, mlp_critic, player, points, resolved
from torch import Tensor, nn

from ganforge.core import ArrayData, DataSpec, GanforgeError
from ganforge.core.config import Component
from ganforge.core.draw import Batch, Draw, Stream
from ganforge.core.game import Clock, Critique, Effect, Networks, Parts
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.blocks.inversion import Encoder
from ganforge.plugins.papers.bigan.game import BiganGame, PairStep
from ganforge.plugins.papers.vanilla import CrossEntropyOptions
from ganforge.plugins.papers.vanilla.losses import NonSaturating
from ganforge.plugins.papers.wgan_gp import PenaltyOptions
from ganforge.plugins.papers.wgan_gp.penalty import GradientPenalty


class Featured(nn.Module):
    """A critic of one linear layer whose features are the sample itself."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.layer = nn.Linear(values, 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        return Critique(self.layer(x).flatten(), x)


class Pair(nn.Module):
    """D(x, z) = a·x + b·z."""

    def __init__(self, a: list[float], b: list[float]) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))

    def forward(self, x: Tensor, labels: Tensor | None, z: Tensor) -> Critique:
        return Critique(x @ self.a + z @ self.b, x)


def bigan(critic: nn.Module | None = None, values: int = 2, **effects: Effect) -> BiganGame:
    usual = make_game(critic or Featured(values), values=values)
    config = usual.config.model_copy(update={"recipe": Component(name="bigan", encoder=4, joint=5)})
    networks = Networks(Affine(3, values), usual.networks["discriminator"])
    return BiganGame(Parts(config, usual.data, networks, NonSaturating(CrossEntropyOptions()), effects, usual.device))


def step_of(game: BiganGame, role: str) -> PairStep:
    mover = player(game, role)
    stream = Stream(ArrayData(game.data, points(6, game.data.shape[0])), seed=0)
    step = game.make_step(mover, Draw(0, 0, mover.name, 0, 6, game.device, stream, 0), Clock(0, 100, 0))
    assert isinstance(step, PairStep)
    return step


def objective(game: BiganGame, step: PairStep) -> Tensor:
    return game.objective(step.player, step.draw, step.clock).loss


# Equations 2 and 3.


def test_the_discriminators_loss_is_minus_v_of_equation_2() -> None:
    game = bigan()
    step = step_of(game, "discriminator")
    critic, encoder, generator = (game.networks[name] for name in ("discriminator", "encoder", "generator"))
    x, z = step.real.detach(), step.latent
    on_real, on_fake = critic(x, None, encoder(x)).logits, critic(generator(z).images, None, z).logits
    v = on_real.sigmoid().log().mean() + (1 - on_fake.sigmoid()).log().mean()
    assert objective(game, step).item() == pytest.approx(-v.item(), rel=1e-5)


def test_the_gradients_of_a_linear_game_are_the_formulas() -> None:
    """D(x, z) = ax + b·z, E(x) = ex, G(z) = g·z: each player's move, by hand."""
    game = bigan(values=1)
    a, b = [0.7], [0.3, -0.5, 0.2]
    game.networks["discriminator"], game.networks["encoder"] = Pair(a, b), nn.Linear(1, 3, bias=False)
    e, g = game.networks["encoder"].weight, game.networks["generator"].layer.weight
    step = step_of(game, "generator")
    x, z = step.real.detach(), step.latent
    real = x[:, 0] * a[0] + (x @ e.T) @ torch.tensor(b)
    fake = game.networks["generator"](z).images[:, 0] * a[0] + z @ torch.tensor(b)
    found = torch.autograd.grad(objective(game, step), [e, g])
    # The inverse objective, -log(1 - D(x, E(x))) - log D(G(z), z), pulls both sides' opinions together.
    by_hand_e = (real.sigmoid() * x[:, 0]).mean() * torch.tensor(b)[:, None]
    by_hand_g = -((1 - fake.sigmoid())[:, None] * z).mean(dim=0, keepdim=True) * a[0]
    assert torch.allclose(found[0], by_hand_e, atol=1e-6)
    assert torch.allclose(found[1], by_hand_g, atol=1e-6)
    step = step_of(game, "discriminator")
    x, z = step.real.detach(), step.latent
    codes = game.networks["encoder"](x)
    real = x[:, 0] * a[0] + codes @ torch.tensor(b)
    made = game.networks["generator"](z).images
    fake = made[:, 0] * a[0] + z @ torch.tensor(b)
    (found_b,) = torch.autograd.grad(objective(game, step), [game.networks["discriminator"].b])
    by_hand_b = (-(1 - real.sigmoid())[:, None] * codes + fake.sigmoid()[:, None] * z).mean(dim=0)
    assert torch.allclose(found_b, by_hand_b, atol=1e-6)


def test_a_discriminators_move_leaves_the_encoder_alone_and_the_generators_moves_it() -> None:
    game = bigan()
    assert player(game, "generator").networks == ["generator", "encoder"]
    weight = game.networks["encoder"].code.weight
    for role, moves in (("discriminator", False), ("generator", True)):
        loss = objective(game, step_of(game, role))
        (gradient,) = torch.autograd.grad(loss, weight, allow_unused=True)
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) == moves


def test_no_discriminator_tells_an_inverse_from_its_generator() -> None:
    """Theorem 2's fixed point: real samples are G's, E inverts G, and so both pairs are the same."""
    game = bigan(values=3)
    generator, encoder = game.networks["generator"].layer, nn.Linear(3, 3)
    inverse = torch.linalg.inv(generator.weight)
    encoder.weight.data.copy_(inverse)
    encoder.bias.data.copy_(-inverse @ generator.bias)
    game.networks["encoder"] = encoder
    step = step_of(game, "discriminator")
    step.batch = Batch(step.fake.detach(), None)
    assert torch.allclose(step.on_real.logits, step.on_fake.logits, atol=1e-4)


# What else sees pairs.


def test_a_penaltys_own_samples_come_with_their_codes() -> None:
    game = bigan(gp=GradientPenalty(PenaltyOptions()))
    step = step_of(game, "discriminator")
    x = torch.randn(6, 2)
    expected = game.networks["discriminator"](x, None, game.networks["encoder"](x)).logits
    assert torch.equal(step.critique(x).logits, expected)
    assert torch.isfinite(objective(game, step))


def test_a_critic_without_features_is_refused() -> None:
    with pytest.raises(GanforgeError, match="recipe 'bigan' needs a discriminator that offers features"):
        bigan(mlp_critic())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 6, 9), (2,)])
def test_encoders_take_any_data(shape: tuple[int, ...]) -> None:
    encoder = Encoder(DataSpec(shape=shape), 7, 4)
    assert encoder(torch.zeros(2, *shape)).shape == (2, 7)


def test_pictures_hold_real_samples_over_their_reconstructions(registry: Registry) -> None:
    config = resolved(registry, "bigan", "digits", "architecture.width=4", "recipe.encoder=4", "recipe.joint=8")
    game: Any = build_game(config, DataSpec(shape=(1, 8, 8)), registry)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8)).astype(np.uint8)
    latents = game.latent.sample(0, 64)
    shown, labels = game.pictured(latents, None, ArrayData(game.data, pixels))
    assert labels is None
    assert np.array_equal(shown[:32], game.sample(latents)[:32])
    real = torch.from_numpy(pixels[:8] / np.float32(127.5) - 1)
    assert np.allclose(shown[32:40], real, atol=1e-6)
    assert np.allclose(shown[40:48], game.reconstruct(real), atol=1e-5)


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("ring", ()),
        ("digits", ("architecture.width=4", "recipe.encoder=4", "recipe.joint=8", "conditioning=projection")),
        ("digits", ("architecture.width=4", "recipe.encoder=4", "fakes=shared", "observers.health=true")),
        ("digits", ("architecture=mlp", "loss=hinge", "regularizers.diffaugment=true", "regularizers.r1.gamma=1")),
    ],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: str, settings: tuple[str, ...]) -> None:
    assert_resumes_exactly(registry, tmp_path, "bigan", data, *settings)
