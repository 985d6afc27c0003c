"""Tricks that change layers of any network: which they find, what takes their place, and who attaches first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from small_games import Critic, assert_resumes_exactly, make_game, mlp_critic, resolved
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate
from torch.nn.utils import parametrizations, parametrize

from ganforge.core import GanforgeError, train
from ganforge.core.config import Config, load_data, parse_settings
from ganforge.core.game import Effect, Game
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.blocks import surgery
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.tricks.activation import ActivationOptions
from ganforge.plugins.tricks.activation.replacement import Activation
from ganforge.plugins.tricks.downsampling.layers import PooledConv2d, strides
from ganforge.plugins.tricks.initialisation import InitialisationOptions
from ganforge.plugins.tricks.initialisation.weights import Initialisation
from ganforge.plugins.tricks.norm import NormOptions
from ganforge.plugins.tricks.norm.replacement import Norm
from ganforge.plugins.tricks.upsampling import UpsamplingOptions
from ganforge.plugins.tricks.upsampling.layers import ResizedConv2d, ShuffledConv2d, Upsampling, enlarges

SMALL = "architecture.width=4", "batch_size=8", "machine.device=cpu", "machine.threads=1"
RESNET = "architecture.generator_width=4", "architecture.discriminator_width=4"


def built(registry: Registry, *settings: str, recipe: str = "dcgan", data: str = "digits") -> Game:
    """The game of a recipe with these settings, at its first round."""
    config: Config = resolved(registry, recipe, data, *settings)
    return build_game(config, load_data(config.data, registry).spec, registry)


def layers(module: nn.Module, *kinds: type[nn.Module]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# What is found.


def twins() -> Critic:
    """A critic with one layer in two places."""
    shared = nn.ReLU()
    body = nn.Sequential(nn.Linear(2, 4), shared, nn.Linear(4, 4), shared, nn.Linear(4, 1))
    return Critic(lambda critic, x: critic.body(x).flatten(), body=body)


def search(what: str = "ReLU", **changes: Any) -> surgery.Search:
    values = {"regularizer": "trick", "networks": "discriminator", "wanted": lambda layer: isinstance(layer, nn.ReLU)}
    return surgery.Search(**{**values, "what": what, **changes})


def test_a_layer_in_two_places_stays_one() -> None:
    game = make_game(twins())
    surgery.replace(game, search(), lambda old: nn.Tanh())
    body: Any = game.networks["discriminator"].body
    assert isinstance(body[1], nn.Tanh)
    assert body[1] is body[3]
    assert layers(game, nn.ReLU) == []


def test_a_network_that_is_itself_the_layer_is_replaced() -> None:
    game = make_game(nn.Linear(2, 1))
    surgery.replace(game, search(wanted=lambda layer: isinstance(layer, nn.Linear)), lambda old: nn.Tanh())
    assert isinstance(game.networks["discriminator"], nn.Tanh)


def test_networks_of_the_other_player_stay() -> None:
    game = make_game(mlp_critic())
    names = list(game.networks["generator"].state_dict())
    surgery.replace(game, search(wanted=lambda layer: isinstance(layer, nn.Linear)), lambda old: nn.Identity())
    assert layers(game.networks["discriminator"], nn.Linear) == []
    assert list(game.networks["generator"].state_dict()) == names


@pytest.mark.parametrize(
    ("networks", "sentence"),
    [
        ("generator", "regularizer 'trick': the generator has no ReLU"),
        (
            "both",
            "regularizer 'trick': the generator has no ReLU; set regularizers.trick.networks to the network that has",
        ),
    ],
)
def test_finding_nothing_is_an_error(networks: Any, sentence: str) -> None:
    with pytest.raises(GanforgeError) as error:
        surgery.find(make_game(twins()), search(networks=networks))
    assert str(error.value) == sentence


def test_a_weight_computed_from_another_is_not_thrown_away() -> None:
    critic = mlp_critic()
    parametrizations.weight_norm(critic.body[0])  # type: ignore[index]
    effect = Initialisation(InitialisationOptions(networks="discriminator"))
    with pytest.raises(GanforgeError, match=r"'initialisation': a linear, .* layer has a weight computed from another"):
        make_game(critic, initialisation=effect)


def test_a_function_in_the_code_is_no_layer(tmp_path: Path) -> None:
    with pytest.raises(GanforgeError) as error:
        train(
            tiny.request(regularizers={"activation": True}),
            tmp_path / "run",
            registry=Registry(files=[tiny.FILE], fallback=BUILTIN),
        )
    assert str(error.value) == "regularizer 'activation': the generator has no activation that is a layer of its own"
    assert not (tmp_path / "run").exists()


# Who attaches first.


@pytest.mark.parametrize("recipe", ["dcgan", "sngan"])
def test_the_order_in_the_config_does_not_matter(registry: Registry, recipe: str) -> None:
    """Weights are drawn into the new layers, and spectral norm comes on top, with vectors that fit."""
    names = ["downsampling", "upsampling", "initialisation", "spectral-norm"]
    switched = [[f"regularizers.{name}=true" for name in order] for order in (names, names[::-1])]
    one, other = (built(registry, *SMALL, *settings, recipe=recipe) for settings in switched)
    # New layers draw in the config's order where theirs is the same: shapes and norms agree, numbers need not.
    first, second = one.networks.state_dict(), other.networks.state_dict()
    assert {name: tensor.shape for name, tensor in first.items()} == {n: t.shape for n, t in second.items()}
    pooled = [layer for game in (one, other) for layer in layers(game.networks["discriminator"], PooledConv2d)]
    assert len(pooled) == 4
    for layer in pooled:
        assert parametrize.is_parametrized(layer, "weight")
        weight = layer.parametrizations["weight"].original.detach().flatten(1)
        assert torch.allclose(weight @ weight.T, torch.eye(len(weight)), atol=1e-5)
        assert layer.parametrizations["weight"][0].sigma(weight.view_as(layer.weight)).item() == pytest.approx(1)


def test_effects_attach_from_low_to_high() -> None:
    attached: list[str] = []

    class Noting(Effect):
        def __init__(self, name: str, order: int) -> None:
            super().__init__()
            self.name, self.attach_order = name, order

        def attach(self, game: Game) -> None:
            attached.append(self.name)

    orders = {"a": 0, "b": -1, "c": 0, "d": -2, "e": 1}
    make_game(mlp_critic(), **{name: Noting(name, order) for name, order in orders.items()})
    assert attached == ["d", "b", "a", "c", "e"]


# Activations.


def test_a_slope_of_one_leaves_residual_networks_affine(registry: Registry) -> None:
    """So every activation of theirs was reached."""
    settings = "regularizers.activation.networks=both", "regularizers.activation.slope=1"
    game = built(registry, *RESNET, *settings, recipe="sngan-resnet").eval()
    for network, x, y in (
        (lambda x: game.networks["discriminator"](x).logits, random(5, 1, 16, 16), random(5, 1, 16, 16, seed=1)),
        (lambda z: game.networks["generator"](z / 50).images.atanh(), random(5, 128), random(5, 128, seed=1)),
    ):
        assert torch.allclose(network(0.3 * x + 0.7 * y), 0.3 * network(x) + 0.7 * network(y), atol=1e-4)
        assert not torch.allclose(network(x), network(y), atol=1e-2)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("leaky-relu", nn.LeakyReLU(0.1)), ("relu", nn.ReLU()), ("elu", nn.ELU()), ("silu", nn.SiLU())],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_the_kinds(kind: Any, expected: nn.Module, inplace: bool) -> None:
    effect = Activation(ActivationOptions(kind=kind, slope=0.1))
    fresh: Any = effect.replacement(nn.ReLU(inplace))
    assert torch.allclose(fresh(random(50)), expected(random(50)))
    assert fresh.inplace == inplace


def test_only_hidden_activations_of_the_chosen_network_change(registry: Registry) -> None:
    generator, critic = built(registry, *SMALL, "regularizers.activation=true").networks.values()
    assert layers(generator, nn.ReLU) == []
    assert {layer.negative_slope for layer in layers(generator, nn.LeakyReLU)} == {0.2}
    assert isinstance(generator.layers[-1], nn.Tanh)
    plain = built(registry, *SMALL).networks
    assert [str(layer) for layer in critic.modules()] == [str(layer) for layer in plain["discriminator"].modules()]
    state, expected = generator.state_dict(), plain["generator"].state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


# Norms.


def normalised(kind: Any, channels: int = 6, groups: int = 4) -> tuple[Any, nn.BatchNorm2d]:
    old = nn.BatchNorm2d(channels, eps=1e-3)
    with torch.no_grad():
        old.weight.copy_(random(channels, seed=1))
        old.bias.copy_(random(channels, seed=2))
    return Norm(NormOptions(kind=kind, groups=groups)).replacement(old), old


@pytest.mark.parametrize(("kind", "groups"), [("instance", 6), ("layer", 1), ("group", 3)])
def test_each_sample_is_normalised_by_itself(kind: str, groups: int) -> None:
    """Six channels fall into three groups where four are asked for: four do not divide them."""
    norm, old = normalised(kind)
    x = 3 * random(5, 6, 4, 4) + 2
    parts = x.view(5, groups, -1)
    parts = (parts - parts.mean(2, keepdim=True)) / (parts.var(2, correction=0, keepdim=True) + 1e-3).sqrt()
    expected = parts.view_as(x) * old.weight[:, None, None] + old.bias[:, None, None]
    assert torch.allclose(norm(x), expected, atol=1e-5)
    assert torch.equal(norm.eval()(x[:1]), norm(x)[:1])


def test_none_does_nothing_and_what_had_no_scale_gets_none() -> None:
    x = random(5, 6, 4, 4)
    assert torch.equal(normalised("none")[0](x), x)
    for kind in ("instance", "layer", "group"):
        fresh: Any = Norm(NormOptions(kind=kind)).replacement(nn.BatchNorm2d(6, affine=False))
        assert list(fresh.parameters()) == []


def test_samples_of_a_batch_no_longer_mix(registry: Registry) -> None:
    settings = *SMALL, "regularizers.norm.networks=both"
    z = random(6, 100)
    for extra, mixes in (([], True), (settings, False)):
        generator = built(registry, *SMALL, *extra).networks["generator"].train()
        assert torch.allclose(generator(z).images[:3], generator(z[:3]).images, atol=1e-6) != mixes


def test_vectors_have_no_instances(registry: Registry) -> None:
    settings = "architecture.generator.norm=batch", "architecture.generator.hidden=[8,8]"
    with pytest.raises(GanforgeError) as error:
        built(registry, *settings, "regularizers.norm=true", recipe="vanilla", data="ring")
    assert str(error.value) == "option 'regularizers.norm.kind': instance needs maps, not vectors; take layer or group"
    game = built(registry, *settings, "regularizers.norm.kind=layer", recipe="vanilla", data="ring")
    assert len(layers(game.networks["generator"], nn.GroupNorm)) == 1


def test_a_network_without_batch_norm_is_told(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="'norm': the discriminator has no batch norm"):
        built(registry, *SMALL, "regularizers.norm.networks=discriminator", recipe="sngan")


# Upsampling.


def spread(weight: Tensor) -> Tensor:
    """Every 3×3 kernel summed over the four shifts of a 2×2 square: 4×4."""
    grown = weight.new_zeros(*weight.shape[:2], 4, 4)
    for down in (0, 1):
        for right in (0, 1):
            grown[:, :, down : down + 3, right : right + 3] += weight
    return grown


def test_nearest_is_a_transposed_convolution_with_an_even_kernel() -> None:
    """k4 s2 p1, in which every input reaches each output's square with the same overlap."""
    layer, x = ResizedConv2d(3, 5, 2, mode="nearest", bias=True), random(2, 3, 6, 6)
    kernel = spread(layer.weight).flip(2, 3).transpose(0, 1)
    assert torch.allclose(layer(x), conv_transpose2d(x, kernel, layer.bias, 2, 1), atol=1e-5)


def test_bilinear_is_resizing_then_a_convolution() -> None:
    layer, x = ResizedConv2d(3, 5, 2, mode="bilinear", bias=True), random(2, 3, 6, 6)
    resized = interpolate(x, size=(12, 12), mode="bilinear", align_corners=False)
    assert torch.allclose(layer(x), conv2d(resized, layer.weight, layer.bias, padding=1), atol=1e-5)


def test_pixel_shuffle_puts_four_channels_into_a_square() -> None:
    layer, x = ShuffledConv2d(3, 5, 2, bias=True), random(2, 3, 6, 6)
    small = conv2d(x, layer.weight, layer.bias, padding=1)
    large = layer(x)
    assert large.shape == (2, 5, 12, 12)
    for down in (0, 1):
        for right in (0, 1):
            assert torch.allclose(large[:, :, down::2, right::2], small[:, 2 * down + right :: 4], atol=1e-6)


def test_icnr_is_refused_where_it_would_do_nothing() -> None:
    with pytest.raises(ValueError, match="icnr is a start of kind=pixel-shuffle, not of nearest"):
        UpsamplingOptions(kind="nearest", icnr=True)


def test_icnr_starts_as_nearest() -> None:
    effect = Upsampling(UpsamplingOptions(icnr=True))
    layer: Any = effect.replacement(nn.ConvTranspose2d(3, 5, 4, 2, 1))
    x = random(2, 3, 6, 6)
    small = conv2d(x, layer.weight[::4], layer.bias[::4], padding=1)
    assert torch.allclose(layer(x), interpolate(small, scale_factor=2), atol=1e-6)


@pytest.mark.parametrize("kind", ["pixel-shuffle", "nearest", "bilinear"])
@pytest.mark.parametrize("sizes", [(4, 2, 1, 0), (3, 2, 1, 1), (5, 2, 2, 1), (6, 3, 2, 1)])
def test_sizes_spread_and_biases_are_the_old_layers(kind: Any, sizes: tuple[int, int, int, int]) -> None:
    old = nn.ConvTranspose2d(24, 12, *sizes)
    nn.init.normal_(old.weight, 0.0, 0.02)
    assert enlarges(old)
    fresh = Upsampling(UpsamplingOptions(kind=kind)).replacement(old)
    x = random(2, 24, 5, 7)
    assert fresh(x).shape == old(x).shape
    assert fresh.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert abs(fresh.weight.mean().item()) < 2e-3
    nn.init.zeros_(fresh.weight)
    assert torch.equal(fresh(x), old.bias[:, None, None].expand_as(fresh(x)))


@pytest.mark.parametrize("sizes", [(4, 1, 0, 0), (3, 2, 1, 0), (4, 2, 0, 0)])
def test_what_does_not_multiply_the_size_stays(sizes: tuple[int, int, int, int]) -> None:
    assert not enlarges(nn.ConvTranspose2d(4, 4, *sizes))


@pytest.mark.parametrize("kind", ["pixel-shuffle", "nearest", "bilinear"])
def test_dcgan_without_transposed_convolutions(registry: Registry, kind: str) -> None:
    generator = built(registry, *SMALL, f"regularizers.upsampling.kind={kind}").networks["generator"]
    assert layers(generator, nn.ConvTranspose2d) == []
    assert generator(random(2, 100)).images.shape == (2, 1, 16, 16)


def test_residual_networks_have_none(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="'upsampling': the generator has no transposed convolution"):
        built(registry, *RESNET, "regularizers.upsampling=true", recipe="sngan-resnet")


# Downsampling.


def test_pooling_is_a_strided_convolution_with_an_even_kernel() -> None:
    layer, x = PooledConv2d(nn.Conv2d(3, 5, 4, 2, 1)), random(2, 3, 8, 8)
    assert layer.kernel_size == (3, 3)
    assert torch.allclose(layer(x), conv2d(x, spread(layer.weight) / 4, layer.bias, 2, 1), atol=1e-5)


@pytest.mark.parametrize("sizes", [(4, 2, 1), (3, 2, 1), (5, 2, 2), (2, 2, 0), (5, 3, 1), (4, (2, 1), 1)])
@pytest.mark.parametrize("side", [8, 9, 13])
def test_pooled_sizes_are_the_strided_ones(sizes: tuple[Any, ...], side: int) -> None:
    old, x = nn.Conv2d(3, 5, *sizes), random(2, 3, side, side)
    assert strides(old)
    assert PooledConv2d(old)(x).shape == old(x).shape


def test_dcgans_critic_without_strides(registry: Registry) -> None:
    game = built(registry, "regularizers.downsampling=true", "machine.device=cpu", "architecture.width=32")
    critic = game.networks["discriminator"]
    assert {layer.stride for layer in layers(critic, nn.Conv2d)} == {(1, 1)}
    assert [layer.weight.std().item() for layer in layers(critic, PooledConv2d)] == pytest.approx([0.02] * 2, rel=0.1)
    assert critic(random(2, 1, 16, 16)).features.shape == (2, 64, 4, 4)


# Initial weights.


def drawn(**options: Any) -> dict[str, Tensor]:
    """Weights of one layer of each kind, as outputs × everything else."""
    torch.manual_seed(0)
    modules = {
        "linear": nn.Linear(120, 80),
        "conv": nn.Conv2d(30, 60, 3),
        "transposed": nn.ConvTranspose2d(30, 60, 4),
        "embedding": nn.Embedding(50, 90),
    }
    critic = Critic(lambda critic, x: x.sum(1), **modules)
    before = {name: layer.bias.clone() for name, layer in modules.items() if name != "embedding"}  # type: ignore
    make_game(critic, effect=Initialisation(InitialisationOptions(networks="discriminator", **options)))
    assert all(torch.equal(modules[name].bias, bias) for name, bias in before.items())
    weights = {name: layer.weight.detach() for name, layer in modules.items()}
    weights["transposed"] = weights["transposed"].transpose(0, 1)
    return {name: weight.flatten(1) for name, weight in weights.items()}


def test_orthogonal_rows() -> None:
    for weight in drawn(kind="orthogonal", gain=2.0).values():
        rows = weight if len(weight) <= weight.shape[1] else weight.T
        assert torch.allclose(rows @ rows.T, 4 * torch.eye(len(rows)), atol=1e-4)


def test_he_keeps_the_variance_of_what_a_relu_gives() -> None:
    for name, weight in drawn(kind="he").items():
        assert weight.std().item() == pytest.approx((2 / weight.shape[1]) ** 0.5, rel=0.05), name


def test_xavier_is_uniform_between_both_fans() -> None:
    kernel = {"linear": 1, "conv": 9, "transposed": 16, "embedding": 1}
    for name, weight in drawn(kind="xavier", gain=0.5).items():
        bound = 0.5 * (6 / (weight.shape[1] + len(weight) * kernel[name])) ** 0.5
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.01), name
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05), name


def test_normal() -> None:
    assert [w.std().item() for w in drawn(kind="normal", std=0.3).values()] == pytest.approx([0.3] * 4, rel=0.05)


def test_only_the_chosen_network_is_drawn_anew(registry: Registry) -> None:
    plain = built(registry, *SMALL).networks.state_dict()
    fresh = built(registry, *SMALL, "regularizers.initialisation.networks=generator").networks.state_dict()
    changed = {name for name in plain if not torch.equal(plain[name], fresh[name])}
    assert changed == {f"generator.{name}.weight" for name in ("project", "layers.2", "layers.5")}


# In a run.


@pytest.mark.parametrize(
    "settings",
    [
        ("upsampling.kind=pixel-shuffle", "norm.kind=instance"),
        pytest.param(("upsampling.kind=nearest", "norm.kind=layer", "activation=true"), marks=pytest.mark.slow),
        pytest.param(
            ("upsampling.kind=bilinear", "norm.kind=group", "norm.groups=2", "spectral-norm.networks=both"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["shuffle instance", "nearest layer", "bilinear group"],
)
def test_files_are_proved(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    """With larger weights than DCGAN's, so that there is something to compare."""
    chosen = [f"regularizers.{setting}" for setting in (*settings, "initialisation.kind=he")]
    sizes = ["recipe=dcgan", "data=digits", "observers=[]", "steps=2", "every=2", "samples=4"]
    run = train(parse_settings([*sizes, *SMALL, *chosen]), tmp_path / "run", registry=registry)
    assert run.sample(4, seed=1).std() > 0.05
    card = export(run, tmp_path / "model.onnx")
    assert card.parity is not None
    assert card.parity.max_difference <= card.parity.tolerance


@pytest.mark.parametrize("machine", [("precision=bf16", "channels_last=true"), ("channels_last=false",)])
def test_all_of_them_together_resume_exactly(registry: Registry, tmp_path: Path, machine: tuple[str, ...]) -> None:
    tricks = ["upsampling", "downsampling", "activation", "initialisation", "norm.networks"]
    chosen = [f"regularizers.{name}={'both' if '.' in name else 'true'}" for name in tricks]
    settings = [*SMALL, *chosen, "regularizers.spectral-norm=true", *(f"machine.{one}" for one in machine)]
    run = assert_resumes_exactly(registry, tmp_path, "dcgan", "digits", *settings)
    assert layers(run.game.networks, nn.BatchNorm2d, nn.ConvTranspose2d) == []
