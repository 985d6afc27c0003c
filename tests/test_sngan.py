"""SNGAN: σ against the SVD and torch's own, when its state moves, the hinge loss, the networks, recipes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from small_games import (
    P,
    Q,
    assert_resumes_exactly,
    make_game,
    mlp_critic,
    move,
    resolved,
    said,
    says,
)
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrizations, parametrize

from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.game import AdversarialGame, Batch, Clock, Draw, Duel, Effect, Networks, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.papers.sngan import SpectralNormOptions
from ganforge.plugins.papers.sngan.losses import Hinge
from ganforge.plugins.papers.sngan.norm import SpectralNorm, SpectralNormalisation

LAYERS = [
    (nn.Linear(7, 5), 0),
    (nn.Linear(5, 1), 0),
    (nn.Conv2d(3, 6, 3), 0),
    (nn.ConvTranspose2d(3, 6, 4), 1),
    (nn.Embedding(10, 4), 0),
]
RESNET = "architecture.generator_width=4", "architecture.discriminator_width=4"


def effect(**options: object) -> SpectralNormalisation:
    return SpectralNormalisation(parse(SpectralNormOptions, options))


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def vectors(names: set[str]) -> set[str]:
    return {name for name in names if name.endswith(".v")}


# The norm.


@pytest.mark.parametrize(("layer", "axis"), LAYERS)
def test_after_many_iterations_sigma_is_the_largest_singular_value(layer: nn.Module, axis: int) -> None:
    norm = SpectralNorm(layer.weight, axis)
    norm.iterate(layer.weight, 500)
    matrix = layer.weight.detach().movedim(axis, 0).flatten(1)
    assert matrix.shape[0] == layer.weight.shape[axis]
    assert norm.sigma(layer.weight).item() == pytest.approx(torch.linalg.svdvals(matrix)[0].item(), rel=1e-5)
    normalised = norm(layer.weight).movedim(axis, 0).flatten(1)
    assert torch.linalg.svdvals(normalised)[0].item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("layer", [layer for layer, _ in LAYERS])
def test_it_agrees_with_torchs_own(layer: nn.Module) -> None:
    theirs = parametrizations.spectral_norm(copy.deepcopy(layer), n_power_iterations=500)
    game = make_game(layer, norm=effect(iterations=500))
    ours = game.networks["discriminator"]
    move_vectors(ours)
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-5)


def move_vectors(layer: nn.Module) -> None:
    (norm,) = layer.parametrizations["weight"]
    norm.iterate(layer.parametrizations["weight"].original, 500)


def test_one_iteration_is_algorithm_1s() -> None:
    """v = Wᵀu / ‖·‖ from u = Wv₀ / ‖·‖, and σ = uᵀWv with the u that follows."""
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    norm = SpectralNorm(weight, 0)
    u = normalize(weight @ norm.v, dim=0)
    norm.iterate(weight, 1)
    v = normalize(weight.T @ u, dim=0)
    u = normalize(weight @ v, dim=0)
    assert torch.allclose(norm.v, v, atol=1e-6)
    assert norm.sigma(weight).item() == pytest.approx((u @ weight @ v).item(), rel=1e-6)


def test_the_gradient_is_equation_12() -> None:
    """∂⟨G, W/σ⟩/∂W = (G - λ u vᵀ) / σ with λ = ⟨G, W/σ⟩: u and v are constants."""
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
    direction = torch.randn(5, 7, generator=torch.Generator().manual_seed(2))
    norm = SpectralNorm(weight, 0)
    norm.iterate(weight, 3)
    (direction * norm(weight)).sum().backward()
    with torch.no_grad():
        sigma, u = norm.sigma(weight), normalize(weight @ norm.v, dim=0)
        expected = (direction - (direction * weight / sigma).sum() * torch.outer(u, norm.v)) / sigma
    assert torch.allclose(weight.grad, expected, atol=1e-5)


def test_a_weight_of_zeros_stays_zero_and_recovers() -> None:
    norm = SpectralNorm(torch.zeros(4, 3), 0)
    norm.iterate(torch.zeros(4, 3), 5)
    assert torch.equal(norm(torch.zeros(4, 3)), torch.zeros(4, 3))
    norm.iterate(torch.eye(4, 3), 5)
    assert norm.sigma(torch.eye(4, 3)).item() == pytest.approx(1)


def test_an_averaged_v_is_as_good_as_a_unit_one() -> None:
    """The generator's running average also averages v, which shortens it."""
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    norm = SpectralNorm(weight, 0)
    exact = norm(weight)
    norm.v.mul_(0.5)
    assert torch.allclose(norm(weight), exact)


def test_under_autocast_the_weight_keeps_its_precision() -> None:
    layer = nn.Linear(7, 5)
    norm = SpectralNorm(layer.weight, 0)
    exact = layer.weight / (layer.weight @ norm.v).norm()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(norm(layer.weight), exact, rtol=1e-6)


# The regularizer.


def test_a_normalised_critic_has_slope_at_most_one() -> None:
    critic = mlp_critic(width=32, activation=nn.ReLU)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter *= 5
    critic = make_game(critic, norm=effect()).networks["discriminator"]
    for layer in critic.modules():
        if parametrize.is_parametrized(layer):
            move_vectors(layer)
    x, y = 3 * torch.randn(2, 4000, 2, generator=torch.Generator().manual_seed(0))
    slopes = (critic(x).logits - critic(y).logits).abs() / (x - y).norm(dim=1)
    assert slopes.max() <= 1 + 1e-4
    assert slopes.max() > 0.05


def test_only_the_discriminators_own_moves_change_the_state() -> None:
    game = make_game(mlp_critic(), Hinge(), norm=effect())
    network = game.networks["discriminator"]
    start = state(network)
    network(torch.randn(4, 2))
    assert changed(start, state(network)) == set()
    move(game, "generator")
    assert changed(start, state(network)) == set()
    move(game, "discriminator")
    assert len(vectors(changed(start, state(network)))) == 3


@pytest.mark.parametrize("iterations", [1, 3])
def test_each_move_iterates_as_often_as_asked_on_the_new_weights(iterations: int) -> None:
    game = make_game(mlp_critic(), Hinge(), norm=effect(iterations=iterations))
    layer = game.networks["discriminator"].body[2]
    v = layer.parametrizations["weight"][0].v.clone()
    move(game, "discriminator")
    weight = layer.parametrizations["weight"].original.detach()
    for _ in range(iterations):
        v = normalize(weight.T @ weight @ v, dim=0)
    assert torch.allclose(layer.parametrizations["weight"][0].v, v, atol=1e-6)


@pytest.mark.parametrize("networks", ["generator", "both"])
def test_a_normalised_generators_average_is_normalised(networks: str) -> None:
    game = make_game(mlp_critic(), Hinge(), norm=effect(networks=networks))
    assert parametrize.is_parametrized(game.networks["generator"].layer, "weight")
    assert parametrize.is_parametrized(game.networks["discriminator"].body[0]) == (networks == "both")
    start = state(game.ema)
    for round_ in range(5):
        step = move(game, "generator", round=round_)
        game.average(step.clock)
    assert "generator.layer.parametrizations.weight.0.v" in changed(start, state(game.ema))
    averaged = game.ema["generator"].layer.weight
    assert torch.linalg.svdvals(averaged)[0].item() == pytest.approx(1, rel=1e-3)


class TwoCritics(AdversarialGame):
    """A second critic beside the first, and neither has the usual name."""

    def make_players(self) -> list[Player]:
        first = self.networks.pop("discriminator")
        self.networks.update({"first": first, "second": copy.deepcopy(first)})
        _, generator = super().make_players()
        return [Player("critics", "discriminator", ["first", "second"], self.config.discriminator), generator]

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> Step:
        step = super().make_step(player, draw, clock)
        step.critic = "first"
        real, fake = lambda: Batch(step.real.detach().flip(1), None), lambda: step.fake.flip(1)
        step.duels.append(Duel(step, "second", real=real, fake=fake))
        return step


class SharingCritics(TwoCritics):
    """Two critics with one first layer."""

    def make_players(self) -> list[Player]:
        players = super().make_players()
        self.networks["second"].body[0] = self.networks["first"].body[0]
        return players


class NoCritic(AdversarialGame):
    """A generator by itself."""

    def make_players(self) -> list[Player]:
        return super().make_players()[1:]


def custom(game: type[AdversarialGame], **effects: Effect) -> AdversarialGame:
    usual = make_game(mlp_critic())
    networks = Networks(usual.networks["generator"], usual.networks["discriminator"])
    return game(Parts(usual.config, usual.data, networks, Hinge(), effects, usual.device))


def normalised(network: nn.Module) -> int:
    return sum(parametrize.is_parametrized(layer, "weight") for layer in network.modules())


@pytest.mark.parametrize(
    ("networks", "critics", "generator"), [("discriminator", 3, 0), ("generator", 0, 1), ("both", 3, 1)]
)
def test_every_network_of_the_player_is_normalised(networks: str, critics: int, generator: int) -> None:
    game = custom(TwoCritics, norm=effect(networks=networks))
    counts = {name: normalised(network) for name, network in game.networks.items()}
    assert counts == {"first": critics, "second": critics, "generator": generator}


def test_a_second_critics_state_moves_with_it() -> None:
    game = custom(TwoCritics, norm=effect())
    start = state(game.networks)
    move(game, "generator")
    assert vectors(changed(start, state(game.networks))) == set()
    move(game, "discriminator")
    moved = vectors(changed(start, state(game.networks)))
    assert len(moved) == 6
    assert {name.split(".")[0] for name in moved} == {"first", "second"}


def test_a_layer_of_two_critics_is_normalised_and_iterated_once() -> None:
    game = custom(SharingCritics, norm=effect())
    shared = game.networks["first"].body[0].parametrizations["weight"]
    assert len(shared) == 1
    v = shared[0].v.clone()
    move(game, "discriminator")
    weight = shared.original.detach()
    assert torch.allclose(shared[0].v, normalize(weight.T @ weight @ v, dim=0), atol=1e-6)


def test_a_game_without_the_player_is_refused() -> None:
    with pytest.raises(GanforgeError) as error:
        custom(NoCritic, norm=effect())
    assert str(error.value) == "regularizer 'spectral-norm': this game has no discriminator to normalise"
    assert normalised(custom(NoCritic, norm=effect(networks="generator")).networks["generator"]) == 1


def test_it_takes_no_numbers_from_anybodys_stream() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    SpectralNorm(torch.ones(5, 7), 0)
    assert torch.equal(torch.rand(3), expected)


def test_it_can_be_taken_off_without_a_difference() -> None:
    critic = make_game(mlp_critic(), norm=effect()).networks["discriminator"]
    x = torch.randn(8, 2)
    before = critic(x).logits
    for layer in critic.modules():
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(critic(x).logits, before)


# The loss.


def test_the_hinge_losses_by_hand() -> None:
    duel = said([2.0, 0.5, -1.0], [-2.0, 0.5, -0.5])
    assert Hinge().discriminator(duel).item() == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1.5 + 0.5) / 3)
    assert Hinge().generator(duel).item() == pytest.approx(2 / 3)


def test_the_best_hinge_critic_says_which_side_is_likelier() -> None:
    """D* = sign(p - q), at which the loss is 2 (1 - total variation)."""
    best = (P - Q).sign()
    value = Hinge().discriminator(says(best))
    assert value.item() == pytest.approx(2 - (P - Q).abs().sum().item())
    for point in range(3):
        for nudge in (-0.1, 0.1):
            other = best.clone()
            other[point] += nudge
            assert Hinge().discriminator(says(other)) > value


# The residual networks.


def networks(registry: Registry, side: int, channels: int = 3, **options: int) -> Networks:
    spec = registry.find("architecture", "sn-resnet")
    data = DataSpec(shape=(channels, side, side))
    return spec.build(parse(spec.options, options), Built(data=data, latent=Latent(dim=128)))


def test_at_32_the_networks_are_table_4(registry: Registry) -> None:
    """Counted by hand: blocks of 2·(9·256²+256) + (256²+256) + 2·512 and so on."""
    generator, discriminator = networks(registry, 32)
    assert sum(parameter.numel() for parameter in generator.parameters()) == 4_276_739
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 1_053_824
    assert len(discriminator.blocks) == 4
    assert [block.down for block in discriminator.blocks] == [True, True, False, False]


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (32, 3), (64, 1), (128, 3)])
def test_every_size_fits(registry: Registry, side: int, channels: int) -> None:
    generator, discriminator = networks(registry, side, channels, generator_width=4, discriminator_width=4)
    images = generator(torch.randn(2, 128)).images
    assert images.shape == (2, channels, side, side)
    assert images.abs().max() <= 1
    maps = discriminator.blocks(images)
    assert maps.shape == (2, 4, 8, 8)
    critique = discriminator(images)
    assert critique.logits.shape == (2,)
    assert torch.allclose(critique.features, maps.relu().sum(dim=(2, 3)))


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (
            (1, 28, 28),
            "architecture 'sn-resnet' cannot build 28×28; it builds squares of side 16, 32, 64 or 128: "
            "choose one with --resolution",
        ),
        (
            (2,),
            "architecture 'sn-resnet' builds images, not points with 2 coordinates; try --set architecture=mlp",
        ),
    ],
)
def test_other_data_is_refused(registry: Registry, shape: tuple[int, ...], sentence: str) -> None:
    spec = registry.find("architecture", "sn-resnet")
    with pytest.raises(GanforgeError) as error:
        spec.build(spec.options(), Built(data=DataSpec(shape=shape), latent=Latent()))
    assert str(error.value) == sentence


# The recipes.


def test_sngan_is_setting_c(registry: Registry) -> None:
    config = resolved(registry, "sngan", "digits")
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas, player.moves) == ("adam", 2e-4, (0.5, 0.999), 1)
    assert config.architecture.values["discriminator_norm"] == "none"
    assert (config.architecture.name, config.loss.name, config.batch_size) == ("dcgan", "hinge", 64)
    assert config.regularizers == {"spectral-norm": {"networks": "discriminator", "iterations": 1}}


def test_sngan_resnet_is_the_papers(registry: Registry) -> None:
    config = resolved(registry, "sngan-resnet", "digits")
    for player in (config.generator, config.discriminator):
        assert (player.optimizer, player.lr, player.betas) == ("adam", 2e-4, (0.0, 0.9))
    assert (config.discriminator.moves, config.generator.moves, config.batch_size) == (5, 1, 64)
    assert config.architecture.values == {"generator_width": 256, "discriminator_width": 128}
    assert (config.architecture.name, config.loss.name, config.latent.dim) == ("sn-resnet", "hinge", 128)
    assert config.regularizers == {"spectral-norm": {"networks": "discriminator", "iterations": 1}}


@pytest.mark.parametrize(
    ("recipe", "data"),
    [
        ("sngan", ("digits", "architecture.width=4")),
        ("sngan", ("digits", "architecture.width=4", "regularizers.spectral-norm.networks=both")),
        ("sngan", ("ring",)),
        ("sngan", ("ring", "order=generator-first", "fakes=shared", "regularizers.spectral-norm.networks=both")),
        ("sngan-resnet", ("digits", *RESNET)),
    ],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, recipe: str, data: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, recipe, *data)
    critic = run.game.networks["discriminator"]
    weighted = [layer for layer in critic.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(weighted) >= 3
    assert all(parametrize.is_parametrized(layer, "weight") for layer in weighted)
    assert not [layer for layer in critic.modules() if isinstance(layer, nn.BatchNorm2d)]
