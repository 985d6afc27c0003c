"""pix2pix: the loss in closed form, what the discriminator sees, the U-Net, and the recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, player, resolved
from torch import Tensor, nn

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.config import parse_settings, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.blocks.translation import Translator
from ganforge.plugins.papers.pix2pix import UnetOptions
from ganforge.plugins.papers.pix2pix.game import PairGame, PairStep
from ganforge.plugins.papers.pix2pix.networks import build

SMALL = ("data.resolution=16", "architecture.width=2")


class Negative(nn.Module):
    """x ↦ -scale · x."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return -self.scale * x


def step_of(registry: Registry, role: str, *settings: str, translator: nn.Module | None = None) -> PairStep:
    """A move of a player in a small game on the negatives of digits."""
    request = parse_settings(["recipe=pix2pix", "data=negatives", "batch_size=4", *SMALL, *settings])
    config, data = resolve(request, registry)
    game = build_game(config, data.spec, registry)
    assert isinstance(game, PairGame)
    if translator is not None:
        game.networks["generator"] = Translator(translator, 4, 4)
    mover = player(game, role)
    draw = Draw(0, 0, mover.name, 0, 4, game.device, Stream(data, seed=0), 0)
    return game.make_step(mover, draw, Clock(0, 100, 0))


@pytest.mark.parametrize("weight", [0.0, 100.0])
def test_the_generator_minimises_equation_4(registry: Registry, weight: float) -> None:
    """With G(x) = -x, L1 is the mean of |y + x|."""
    step = step_of(registry, "generator", f"recipe.l1={weight}", translator=Negative())
    game, x, y = step.game, step.source(0), step.source(1)
    expected = game.loss.generator(step) + weight * (y + x).abs().mean()
    objective = game.objective(step.player, step.draw, step.clock)
    assert objective.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective.scalars["pix2pix/l1"].item() == pytest.approx((y + x).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_the_discriminator_sees_pairs(registry: Registry, role: str) -> None:
    step = step_of(registry, role, translator=Negative())
    torch.testing.assert_close(step.real, torch.cat([step.source(0), step.source(1)], dim=1))
    torch.testing.assert_close(step.fake, torch.cat([step.source(0), -step.source(0)], dim=1))
    assert step.real.requires_grad
    assert step.fake.is_leaf == (role == "discriminator")


def test_pairs_belong_together(registry: Registry) -> None:
    """A thick negative is dark wherever the plain picture is bright."""
    step = step_of(registry, "discriminator")
    assert (step.source(1) <= -step.source(0) + 1e-6).all()


def test_the_translator_learns_from_both_losses(registry: Registry) -> None:
    for settings in ((), ("recipe.l1=0",)):
        step = step_of(registry, "generator", *settings)
        step.game.objective(step.player, step.draw, step.clock).loss.backward(inputs=step.player.parameters)
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in step.player.parameters)


# The U-Net.


def test_the_networks_are_as_large_as_the_authors() -> None:
    """Their code prints 54.414 M at 256×256; ours has biases too, in the two convolutions that no norm follows."""
    with torch.device("meta"):
        spec = DataSpec(shape=(3, 256, 256), domains=("A", "B"), paired=True)
        unet = build(UnetOptions(), Built(data=spec, latent=Latent())).generator
    assert round((sum(p.numel() for p in unet.parameters()) - 64 - 512) / 1e6, 3) == 54.414
    dropped = [m for m in unet.modules() if isinstance(m, nn.Dropout)]
    assert len(dropped) == 3


@pytest.mark.parametrize(("side", "multiple"), [(16, 16), (28, 4), (48, 16), (64, 64), (512, 256)])
def test_it_is_as_deep_as_the_side_can_be_halved(side: int, multiple: int) -> None:
    with torch.device("meta"):
        spec = DataSpec(shape=(1, side, side), domains=("A", "B"), paired=True)
        unet = build(UnetOptions(width=1), Built(data=spec, latent=Latent())).generator
        assert unet(torch.zeros(2, 1, side, side)).images.shape == (2, 1, side, side)
    assert (unet.multiple, unet.least) == (multiple, multiple)


def test_the_way_across_is_there(registry: Registry) -> None:
    """With the innermost level dead, pictures still differ: the skip connections carry them."""
    unet = step_of(registry, "generator").game.networks["generator"].eval()
    inner = unet.layers[0].layers[1]
    for parameter in inner.parameters():
        nn.init.zeros_(parameter)
    one, two = (unet(torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(i))).images for i in (0, 1))
    assert not torch.allclose(one, two)


# The recipe.


@pytest.mark.parametrize("trick", ["ada", "diffaugment"])
def test_pairs_can_be_augmented(registry: Registry, trick: str) -> None:
    step = step_of(registry, "discriminator", f"regularizers.{trick}=true")
    assert step.on_real.logits.isfinite().all()


def test_the_paper_s_settings(registry: Registry) -> None:
    config = resolved(registry, "pix2pix", "negatives", "data.resolution=16")
    assert (config.batch_size, config.recipe.values) == (1, {"l1": 100.0})
    assert (config.generator.lr, config.discriminator.betas) == (2e-4, (0.5, 0.999))


def test_it_wants_pairs(registry: Registry) -> None:
    with pytest.raises(
        GanforgeError, match=r"recipe 'pix2pix' takes pairs of pictures, and 'negatives' has .* cyclegan"
    ):
        resolved(registry, "pix2pix", "negatives", "data.paired=false")


@pytest.mark.parametrize("settings", [(), ("architecture=cyclegan", "architecture.blocks=1")])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "pix2pix", "negatives", *settings, *SMALL)
    shown = run.preview(2, seed=1)
    assert shown.shape == (2, 1, 16, 48)
    np.testing.assert_array_equal(shown[:, :, :, 16:32], run.sample(2, seed=1))
