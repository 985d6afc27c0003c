"""Dropout: which layers it finds in which networks, how much it drops, and that it ends with the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from feature_critics import FeatureCritic
from small_games import assert_resumes_exactly, linear_critic, make_game, make_step
from torch import Tensor, nn

from ganforge.cli.contract.recipe import couplings
from ganforge.core import GanforgeError, train
from ganforge.core.config import parse_settings, resolve
from ganforge.core.game import AdversarialGame
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.tricks.dropout import DropoutOptions
from ganforge.plugins.tricks.dropout.layers import Dropout


def effect(**options: object) -> Dropout:
    return Dropout(parse(DropoutOptions, options))


def wide(rate: float) -> AdversarialGame:
    return make_game(FeatureCritic(width=40_000), dropout=effect(rate=rate))


def test_hidden_units_are_dropped_at_the_rate_and_the_rest_scaled() -> None:
    critic = wide(0.3).networks["discriminator"]
    seen: list[Tensor] = []
    critic.last.register_forward_pre_hook(lambda layer, args: seen.append(args[0]))
    features = critic(torch.ones(1, 2)).features
    dropped = seen[0] == 0
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.allclose(seen[0][~dropped], features[~dropped] / 0.7)
    assert (features != 0).all()


def test_samples_themselves_are_whole() -> None:
    critic = wide(0.9).networks["discriminator"]
    seen: list[Tensor] = []
    critic.first.register_forward_pre_hook(lambda layer, args: seen.append(args[0]))
    x = torch.randn(64, 2)
    critic(x)
    assert torch.equal(seen[0], x)


def test_real_and_fake_and_rounds_have_their_own_masks_and_eval_has_none() -> None:
    game = wide(0.5)
    critic, x = game.networks["discriminator"], torch.ones(1, 2)
    assert not torch.equal(critic(x).logits, critic(x).logits)
    critic.eval()
    assert torch.equal(critic(x).logits, FeatureCritic(width=40_000)(x).logits)


def dropping(network: nn.Module) -> set[str]:
    return {name for name, layer in network.named_modules() if layer._forward_pre_hooks}


def built(registry: Registry, *settings: str) -> Any:
    config, data = resolve(parse_settings(["observers=[]", "batch_size=4", *settings]), registry)
    return build_game(config, data.spec, registry).networks


def test_in_dcgan_all_but_the_first_convolution(registry: Registry) -> None:
    settings = ("recipe=dcgan", "data=digits", "architecture.width=4", "regularizers.dropout.networks=both")
    networks = built(registry, *settings)
    discriminator, generator = networks["discriminator"], networks["generator"]
    layers = [name for name, layer in discriminator.named_modules() if isinstance(layer, nn.Conv2d)]
    assert dropping(discriminator) == set(layers[1:])
    assert dropping(generator) == {n for n, m in generator.named_modules() if isinstance(m, nn.ConvTranspose2d)}


def test_in_residual_networks_no_branch_that_sees_the_image(registry: Registry) -> None:
    sizes = "architecture.generator_width=4", "architecture.discriminator_width=4"
    network = built(registry, "recipe=sngan-resnet", "data=digits", *sizes, "regularizers.dropout=true")[
        "discriminator"
    ]
    layers = {name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    assert layers - dropping(network) == {"blocks.0.conv1", "blocks.0.shortcut"}


@pytest.mark.parametrize("conditioning", ["concat", "embedding"])
def test_labels_beside_the_image_do_not_make_it_hidden(registry: Registry, conditioning: str) -> None:
    settings = ("recipe=dcgan", "data=digits", "architecture.width=4", f"discriminator.conditioning={conditioning}")
    if conditioning == "embedding":
        settings = (*settings[:-1], "conditioning=embedding")
    network = built(registry, *settings, "regularizers.dropout=true")["discriminator"]
    convolutions = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    assert dropping(network) == set(convolutions[1:])


def test_a_layer_of_two_critics_drops_once(registry: Registry) -> None:
    first, second = FeatureCritic(), FeatureCritic()
    second.last = first.last
    game = make_game(first)
    game.networks["second"] = second
    game.players[0].networks.append("second")
    effect().attach(game)
    assert len(first.last._forward_pre_hooks) == 1


def test_a_network_without_hidden_units_is_refused() -> None:
    with pytest.raises(GanforgeError) as error:
        make_game(linear_critic([1.0, 2.0]), dropout=effect())
    assert str(error.value) == "regularizer 'dropout': the network 'discriminator' has no hidden units to drop"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["recipe=bigan", "data=digits"], "the network 'discriminator' of this game is no critic of single samples ("),
        (["recipe=pix2pix", "data=negatives"], "the network 'discriminator' of this game is no critic of single samp"),
        (
            ["recipe=pix2pix", "data=negatives", "regularizers.dropout.networks=generator"],
            "the network 'generator' of this game is no generator from latents (",
        ),
    ],
)
def test_networks_of_other_inputs_are_refused(registry: Registry, settings: list[str], sentence: str) -> None:
    with pytest.raises(GanforgeError) as error:
        built(registry, "regularizers.dropout=true", "data.resolution=32", *settings)
    assert str(error.value).startswith(f"regularizer 'dropout': {sentence}")


def test_two_processes_may_differ() -> None:
    assert couplings(wide(0.5)) == ["dropout: drawn by each process"]


def test_it_shifts_nobody_elses_draws() -> None:
    plain, dropped = (make_step(make_game(FeatureCritic(), **kw)) for kw in ({}, {"dropout": effect()}))
    assert torch.equal(plain.on_real.features, dropped.on_real.features)
    assert torch.equal(plain.latent, dropped.latent)


def test_training_resumes_exactly(registry: Registry, tmp_path: Path) -> None:
    assert_resumes_exactly(registry, tmp_path, "vanilla", "ring", "regularizers.dropout={rate=0.3, networks='both'}")


def test_a_generator_with_dropout_is_exported_without(registry: Registry, tmp_path: Path) -> None:
    settings = ["recipe=dcgan", "data=digits", "architecture.width=4", "regularizers.dropout.networks=generator"]
    sizes = ["steps=2", "batch_size=4", "samples=4", "observers=[]", "machine.threads=1"]
    run = train(parse_settings([*settings, *sizes]), tmp_path / "run", registry=registry)
    card = export(run, tmp_path / "model.onnx")
    assert card.parity.max_difference <= card.parity.tolerance
