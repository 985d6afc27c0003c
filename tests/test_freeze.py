"""FreezeD: which layers are held in any network, that they stay the source's, and that gradients pass through them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import assert_resumes_exactly, make_game, mlp_critic, move, player, resolved
from torch import Tensor
from torch.nn.functional import softplus

from ganforge.core import GanforgeError, Run, train
from ganforge.core.config import load_data, parse_settings
from ganforge.core.game import AdversarialGame, Duel, LossModule
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.tricks.freeze import FreezeOptions
from ganforge.plugins.tricks.freeze.layers import Freeze

SMALL = ("batch_size=8", "steps=4", "every=4", "log_every=1", "samples=4", "observers=[]", "machine.threads=1")
FIRST, SECOND, LAST = (
    ("body.0.weight", "body.0.bias"),
    ("body.2.weight", "body.2.bias"),
    ("body.4.weight", "body.4.bias"),
)


class Logistic(LossModule):
    """The original game, non-saturating."""

    def discriminator(self, duel: Duel) -> Tensor:
        return softplus(-duel.on_real.logits).mean() + softplus(duel.on_fake.logits).mean()

    def generator(self, duel: Duel) -> Tensor:
        return softplus(-duel.on_fake.logits).mean()


def three_layers(held: int) -> AdversarialGame:
    """A critic of three linear layers, of which the first ones are held."""
    effects = {"freeze": Freeze(FreezeOptions(layers=held))} if held else {}
    return make_game(mlp_critic(), Logistic(), start="a run", **effects)


def held(registry: Registry, recipe: str, *settings: str) -> list[str]:
    """The parameters of the discriminator that are held."""
    config = resolved(registry, recipe, "digits", "start=x", *settings)
    game = build_game(config, load_data(config.data, registry).spec, registry)
    return [name for name, p in game.networks["discriminator"].named_parameters() if not p.requires_grad]


@pytest.fixture(scope="module")
def source(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    request = parse_settings(["recipe=dcgan", "data=digits", "architecture.width=4", *SMALL])
    return train(request, tmp_path_factory.mktemp("source") / "run", registry=registry)


@pytest.mark.parametrize(("layers", "expected"), [(1, FIRST), (2, FIRST + SECOND)])
def test_what_is_held_stays_and_the_rest_learns(layers: int, expected: tuple[str, ...]) -> None:
    game = three_layers(layers)
    before = {name: p.detach().clone() for name, p in game.networks["discriminator"].named_parameters()}
    for _ in range(3):
        move(game)
    after = dict(game.networks["discriminator"].named_parameters())
    assert {name for name in before if torch.equal(before[name], after[name])} == set(expected)
    moved = set(player(game, "discriminator").parameters)
    assert {name for name, p in after.items() if p not in moved} == set(expected)


def test_the_rest_learns_what_it_would_learn_anyway() -> None:
    """d L / d θ of the upper layers is that of the critic in which nothing is held."""
    gradients = []
    for layers in (0, 2):
        game = three_layers(layers)
        move(game)
        gradients.append({n: p.grad for n, p in game.networks["discriminator"].named_parameters() if n in LAST})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in LAST)


def test_the_generator_learns_through_held_layers() -> None:
    gradients = []
    for layers in (0, 2):
        game = three_layers(layers)
        move(game, "generator")
        gradients.append(game.networks["generator"].layer.weight.grad)
    assert gradients[0].abs().sum() > 0
    assert torch.equal(*gradients)


def test_weight_decay_does_not_move_what_is_held(registry: Registry, source: Run, tmp_path: Path) -> None:
    settings = [f"start={source.directory}", "discriminator.weight_decay=0.1", "regularizers.freeze.layers=1"]
    request = parse_settings(["recipe=dcgan", "data=digits", "architecture.width=4", *SMALL, *settings])
    run = train(request, tmp_path / "run", registry=registry)
    there, here = (game.networks["discriminator"].state_dict() for game in (source.game, run.game))
    assert torch.equal(there["features.0.weight"], here["features.0.weight"])
    assert not torch.equal(there["features.2.weight"], here["features.2.weight"])


def test_layers_are_counted_from_the_image(registry: Registry) -> None:
    width = "architecture.width=4"
    one = ["features.0.weight", "features.0.bias"]
    assert held(registry, "dcgan", width, "regularizers.freeze.layers=1") == one
    two = [*one, "features.2.weight", "features.3.weight", "features.3.bias"]  # with its batch norm
    assert held(registry, "dcgan", width, "regularizers.freeze.layers=2") == two
    wrapped = held(registry, "cdcgan", width, "regularizers.freeze.layers=2")
    assert wrapped == [f"inner.{name}" for name in two]


def test_weights_under_a_spectral_norm_are_held(registry: Registry) -> None:
    found = held(registry, "sngan", "architecture.width=4", "regularizers.freeze.layers=1")
    assert found == ["features.0.bias", "features.0.parametrizations.weight.original"]


def test_a_residual_block_has_three_layers(registry: Registry) -> None:
    settings = ("architecture.generator_width=4", "architecture.discriminator_width=4")
    found = held(registry, "sngan-resnet", *settings, "regularizers.freeze.layers=3")
    assert {name.partition(".")[0] for name in found} == {"blocks"}
    assert {name.split(".")[1] for name in found} == {"0"}
    assert len(found) == 6


def test_a_network_that_judges_no_images_is_left_alone(registry: Registry) -> None:
    config = resolved(registry, "infogan", "digits", "start=x", "architecture.width=4", "regularizers.freeze=true")
    game = build_game(config, load_data(config.data, registry).spec, registry)
    others = [name for name in game.networks if name not in ("generator", "discriminator")]
    assert others
    assert all(p.requires_grad for name in others for p in game.networks[name].parameters())


def test_one_layer_must_learn(registry: Registry) -> None:
    with pytest.raises(
        GanforgeError, match="'discriminator' has 3 layers, and one at least must learn; hold 2 at most"
    ):
        held(registry, "dcgan", "architecture.width=4", "regularizers.freeze.layers=3")


def test_it_needs_a_run_to_hold_layers_of(registry: Registry, tmp_path: Path) -> None:
    request = parse_settings(["recipe=dcgan", "data=digits", *SMALL, "regularizers.freeze=true"])
    with pytest.raises(GanforgeError, match="regularizer 'freeze' holds layers of another run: name that with --from"):
        train(request, tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()


def test_looking_ahead_moves_only_what_learns(registry: Registry, tmp_path: Path) -> None:
    base = ["recipe=unrolled", "data=digits", "architecture.width=4", "recipe.steps=2", *SMALL]
    train(parse_settings(base), tmp_path / "source", registry=registry)
    further = [f"start={tmp_path / 'source'}", "regularizers.freeze.layers=1"]
    run = train(parse_settings([*base, *further]), tmp_path / "run", registry=registry)
    source = Run.load(tmp_path / "source", registry=registry)
    there, here = (game.networks["discriminator"].state_dict() for game in (source.game, run.game))
    assert torch.equal(there["features.0.weight"], here["features.0.weight"])


def test_training_resumes_exactly_and_its_file_is_proved(registry: Registry, source: Run, tmp_path: Path) -> None:
    settings = ("architecture.width=4", f"start={source.directory}", "regularizers.freeze.layers=2", "data.limit=100")
    run = assert_resumes_exactly(registry, tmp_path, "dcgan", "digits", *settings)
    card = export(run, tmp_path / "model.onnx")
    assert card.parity is not None
    assert card.parity.max_difference <= card.parity.tolerance
