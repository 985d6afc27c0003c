"""CycleGAN: the losses in closed form, both duels, the history of translations, the networks, and the recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, player, resolved
from torch import Tensor, nn

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.config import parse_settings, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock, Critique
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.blocks.patchgan import PatchDiscriminator
from ganforge.plugins.blocks.translation import Translator
from ganforge.plugins.papers.cyclegan import ResnetOptions
from ganforge.plugins.papers.cyclegan.game import CycleGame, CycleStep
from ganforge.plugins.papers.cyclegan.history import History, plan
from ganforge.plugins.papers.cyclegan.networks import build

DATA = ("data.paired=false", "data.resolution=16")
SMALL = (*DATA, "architecture.width=2", "architecture.blocks=1", "recipe.history=3")


class Line(nn.Module):
    """x ↦ slope · x + shift, of a picture."""

    def __init__(self, slope: float, shift: float = 0.0) -> None:
        super().__init__()
        self.slope, self.shift = nn.Parameter(torch.tensor(slope)), shift

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x + self.shift


class Mean(nn.Module):
    """One logit, weight times the mean of a picture."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        return Critique(self.weight * x.flatten(1).mean(dim=1))


def game_of(registry: Registry, *settings: str, n: int = 4) -> tuple[CycleGame, Stream]:
    """A game on the negatives of digits, and its data."""
    request = parse_settings(["recipe=cyclegan", "data=negatives", f"batch_size={n}", *SMALL, *settings])
    config, data = resolve(request, registry)
    game = build_game(config, data.spec, registry)
    assert isinstance(game, CycleGame)
    return game, Stream(data, seed=0)


def lines(registry: Registry, *settings: str) -> tuple[CycleGame, Stream]:
    """G(a) = 2 a, F(b) = b / 2 + 0.1, and critics that look at the mean."""
    game, stream = game_of(registry, *settings)
    game.networks["generator"] = Translator(Line(2.0), 4, 8)
    game.networks["generator-back"] = Translator(Line(0.5, 0.1), 4, 8)
    game.networks["discriminator"], game.networks["discriminator-back"] = Mean(1.0), Mean(-1.0)
    return game, stream


def step_of(game: CycleGame, stream: Stream, role: str, round_: int = 0) -> CycleStep:
    mover, n = player(game, role), game.config.batch_size
    draw = Draw(0, round_, mover.name, 0, n, game.device, stream, round_)
    return game.make_step(mover, draw, Clock(round_, 100, 0))


# The losses.


def test_there_and_back_in_closed_form(registry: Registry) -> None:
    """F(G(a)) - a = 0.1 and G(F(b)) - b = 0.2; G(b) - b = b and F(a) - a = 0.1 - a / 2."""
    game, stream = lines(registry)
    step = step_of(game, stream, "generator")
    first, second = step.source(0), step.source(1)
    assert game.cycle(step).item() == pytest.approx(0.3, rel=1e-5)
    stays = second.abs().mean() + (0.1 - first / 2).abs().mean()
    assert game.identity(step).item() == pytest.approx(stays.item(), rel=1e-5)


def test_the_generators_minimise_equation_3_and_the_identity_loss(registry: Registry) -> None:
    game, stream = lines(registry)
    step = step_of(game, stream, "generator")
    a, b = step.source(0).flatten(1), step.source(1).flatten(1)
    there = ((2 * a).mean(dim=1) - 1).square().mean()
    back = (-(b / 2 + 0.1).mean(dim=1) - 1).square().mean()
    expected = there + back + 10 * game.cycle(step) + 5 * game.identity(step)
    objective = game.objective(step.player, step.draw, step.clock)
    assert objective.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective.scalars["cyclegan/cycle"].item() == pytest.approx(0.3, rel=1e-5)


def test_without_weights_the_terms_are_gone(registry: Registry) -> None:
    game, stream = lines(registry, "recipe.cycle=0")
    step = step_of(game, stream, "generator")
    losses = sum(game.loss.generator(duel) for duel in step.duels)
    objective = game.objective(step.player, step.draw, step.clock)
    assert objective.loss.item() == pytest.approx(losses.item(), rel=1e-5)
    assert "cyclegan/identity" not in objective.scalars


def test_each_discriminator_has_a_duel_over_its_own_domain(registry: Registry) -> None:
    game, stream = lines(registry)
    step = step_of(game, stream, "discriminator")
    over_b, over_a = step.duels
    assert (over_b.critic, over_a.critic) == ("discriminator", "discriminator-back")
    torch.testing.assert_close(over_b.real, step.source(1))
    torch.testing.assert_close(over_a.real, step.source(0))
    torch.testing.assert_close(over_b.fake, 2 * step.source(0))
    torch.testing.assert_close(over_a.fake, step.source(1) / 2 + 0.1)
    assert all(duel.real.requires_grad and duel.fake.is_leaf for duel in step.duels)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_every_network_of_a_player_gets_its_gradient(registry: Registry, role: str) -> None:
    game, stream = game_of(registry)
    step = step_of(game, stream, role)
    game.objective(step.player, step.draw, step.clock).loss.backward(inputs=step.player.parameters)
    assert step.player.networks == [role, f"{role}-back"]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in step.player.parameters)


def test_penalties_meet_both_duels(registry: Registry) -> None:
    """R1 of slopes ±1 / 256 of each of 256 pixels: half of γ times 1 / 256 for each duel."""
    game, stream = lines(registry, "regularizers.r1.gamma=1")
    step = step_of(game, stream, "discriminator")
    penalty = game.objective(step.player, step.draw, step.clock).scalars["penalty/r1"]
    assert penalty.item() == pytest.approx(2 * 0.5 / 256, rel=1e-4)


# The history.


def sequential(pictures: list[int], size: int, random: np.random.Generator) -> list[int]:
    """The authors' pool, one picture at a time."""
    pool: list[int] = []
    shown = []
    for one in pictures:
        swaps, slot = random.random() < 0.5, int(random.integers(size))
        if len(pool) < size:
            pool.append(one)
        elif swaps:
            pool[slot], one = one, pool[slot]
        shown.append(one)
    return shown


def test_the_history_is_the_authors_in_any_batches() -> None:
    history = History(5, (1, 1, 1))
    pictures = torch.arange(40.0).reshape(40, 1, 1, 1)
    random, shown = np.random.default_rng(1), []
    for first in range(0, 40, 4):
        batch, held = history.swap(pictures[first : first + 4], plan(first, 4, 5, random))
        history.store(held)
        shown += batch.flatten().int().tolist()
    assert shown == sequential(list(range(40)), 5, np.random.default_rng(1))
    assert shown[:5] == [0, 1, 2, 3, 4]
    assert shown != list(range(40))


def test_no_history_shows_what_is_new() -> None:
    assert list(plan(0, 3, 0, np.random.default_rng(0))) == [(None, None)] * 3


def test_the_history_changes_after_the_step_alone(registry: Registry) -> None:
    game, stream = game_of(registry)
    step = step_of(game, stream, "discriminator")
    objective = game.objective(step.player, step.draw, step.clock)
    kept = game.histories["discriminator"].images
    assert not kept.any()
    game.after_step(objective.step)
    torch.testing.assert_close(kept, objective.step.fake[:3].detach())
    before = kept.clone()
    generator = step_of(game, stream, "generator")
    game.after_step(game.objective(generator.player, generator.draw, generator.clock).step)
    assert torch.equal(kept, before)


# The networks.


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_networks_are_as_large_as_the_authors() -> None:
    """Their code prints 11.378 M for nine blocks and 2.765 M for a discriminator."""
    spec = DataSpec(shape=(3, 256, 256), domains=("A", "B"))
    from ganforge.core import Built, Latent

    with torch.device("meta"):
        networks = build(ResnetOptions(), Built(data=spec, latent=Latent()))
    assert round(count(networks.generator) / 1e6, 3) == 11.378
    assert round(count(networks.discriminator) / 1e6, 3) == 2.765


@pytest.mark.parametrize(("side", "field", "patches"), [(256, 70, 900), (32, 34, 36), (16, 16, 36)])
def test_a_logit_sees_a_patch(side: int, field: int, patches: int) -> None:
    critic = PatchDiscriminator(1, 2, side)
    critic.features = nn.Sequential(*(m for m in critic.features if not isinstance(m, nn.InstanceNorm2d)))
    whole = 2 * field + 64
    x = torch.randn(1, 1, whole, whole, requires_grad=True)
    logits = critic(x).logits
    logits[0, logits.shape[1] // 2 + round(logits.shape[1] ** 0.5) // 2].backward()
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == field
    assert critic(torch.zeros(2, 1, side, side)).logits.shape == (2, patches)


@pytest.mark.parametrize("size", [(8, 8), (12, 40), (64, 32)])
def test_a_translation_has_its_pictures_size(registry: Registry, size: tuple[int, int]) -> None:
    game, _ = game_of(registry)
    assert game.networks["generator"](torch.zeros(1, 1, *size)).images.shape == (1, 1, *size)


# The recipe.


def test_the_paper_s_settings(registry: Registry) -> None:
    config = resolved(registry, "cyclegan", "negatives", *DATA)
    assert config.batch_size == 1
    assert config.recipe.values == {"cycle": 10.0, "identity": 0.5, "history": 50}
    for side in (config.generator, config.discriminator):
        assert (side.optimizer, side.lr, side.betas) == ("adam", 2e-4, (0.5, 0.999))
        assert [side.rate(round_, 100) / 2e-4 for round_ in (0, 50, 75)] == pytest.approx([1, 1, 0.5])


@pytest.mark.parametrize(
    ("data", "settings", "sentence"),
    [
        ("digits", (), "recipe 'cyclegan' takes pictures of two domains, and 'digits' has 16×16 grey images"),
        ("negatives", ("data.resolution=18",), "architecture 'cyclegan' cannot build 18×18"),
        ("negatives", ("data.resolution=8",), "architecture 'cyclegan' cannot build 8×8"),
        ("negatives", ("architecture=dcgan", "data.resolution=16"), "option 'architecture': recipe 'cyclegan' transl"),
        ("negatives", ("fakes=shared", "data.resolution=16"), "option 'fakes': recipe 'cyclegan' has each player"),
        ("negatives", ("generator.conditioning=concat",), "option 'generator.conditioning': 'concat' needs labels"),
    ],
)
def test_what_does_not_fit_is_said(registry: Registry, data: str, settings: tuple[str, ...], sentence: str) -> None:
    def built() -> None:
        config, loaded = resolve(parse_settings(["recipe=cyclegan", f"data={data}", *settings]), registry)
        build_game(config, loaded.spec, registry)

    with pytest.raises(GanforgeError) as error:
        built()
    assert str(error.value).startswith(sentence)


def test_other_recipes_say_which_take_domains(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match=r"recipe 'dcgan' takes single pictures, and 'negatives' has .* cyclegan"):
        resolved(registry, "dcgan", "negatives", *DATA)


@pytest.mark.parametrize("settings", [(), ("regularizers.diffaugment=true", "accumulate=2"), ("data.paired=true",)])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "cyclegan", "negatives", *SMALL, *settings)
    assert run.game.state_dict()["histories.discriminator.images"].any()
    shown = run.preview(2, seed=1)
    assert shown.shape == (2, 1, 32, 48)
    np.testing.assert_array_equal(shown[:, :, :16, 16:32], run.sample(2, seed=1))
