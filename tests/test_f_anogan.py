"""f-AnoGAN: its loss and score by hand, who moves when, what stays frozen, and the scores of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import done, refused
from PIL import Image
from small_games import assert_resumes_exactly, player, resolved
from torch import Tensor, nn

from ganforge.core import ArrayData, DataSpec, GanforgeError, train
from ganforge.core.config import load_data, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry
from ganforge.core.run import build_game

SMALL = ("data.resolution=8", "architecture.width=4", "recipe.width=4", "latent.dim=6", "batch_size=8")


def built(registry: Registry, *settings: str, rounds: int = 10) -> tuple[Any, Stream]:
    config = resolved(registry, "f-anogan", "digits", *SMALL, f"steps={rounds}", *settings)
    data = load_data(config.data, registry)
    return build_game(config, data.spec, registry), Stream(data, 0)


def clock(round_: int) -> Clock:
    return Clock(round_, 10, 0)


def encoders_objective(game: Any, stream: Stream) -> Any:
    """The encoder's move in the last round, when G and D are frozen."""
    game.before_round(clock(9))
    mover = next(player for player in game.players if player.name == "encoder")
    return game.objective(mover, Draw(0, 9, "encoder", 0, 8, game.device, stream, 9), clock(9))


@pytest.mark.parametrize("kappa", [0.0, 1.0, 2.5])
def test_the_loss_is_mse_of_pixels_and_kappa_times_that_of_features(registry: Registry, kappa: float) -> None:
    game, stream = built(registry, f"recipe.kappa={kappa}")
    found = encoders_objective(game, stream)
    x = found.step.real.detach()
    made = game.networks["generator"](game.networks["encoder"](x)).images
    critic = game.networks["discriminator"]
    features = nn.functional.mse_loss(critic(made).features, critic(x).features)
    expected = nn.functional.mse_loss(made, x) + kappa * features
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_score_is_each_pictures_loss(registry: Registry) -> None:
    """At 8×8 the encoder has no batch norm, so that it is the same function in training and after."""
    game, stream = built(registry)
    found = encoders_objective(game, stream)
    game.ema.load_state_dict({k: v for k, v in game.networks.state_dict().items() if "discriminator" not in k})
    scores = game.anomaly_scores(found.step.real.detach())
    assert scores.shape == (8,)
    assert scores.mean().item() == pytest.approx(found.loss.item(), rel=1e-5)


def test_what_the_generator_can_show_is_normal(registry: Registry) -> None:
    game, _ = built(registry)
    z = torch.randn(5, 6)

    class Knows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return z

    game.ema["encoder"] = Knows()
    x = game.ema["generator"](z).images
    assert game.anomaly_scores(x).tolist() == [0.0] * 5
    assert bool((game.anomaly_scores(x + 0.1) > 0).all())


def test_the_encoder_moves_alone_once_the_others_are_frozen(registry: Registry) -> None:
    game, stream = built(registry, "recipe.adversarial=0.6")
    names = [[player.name for player in game.moving(clock(i))] for i in range(10)]
    assert names == [["discriminator", "generator"]] * 6 + [["encoder"]] * 4
    for round_, moved in ((5, {"discriminator", "generator"}), (6, {"encoder"}), (9, {"encoder"})):
        before = {name: tensor.clone() for name, tensor in game.networks.state_dict().items()}
        play_round(game, stream, clock(round_))
        after = game.networks.state_dict()
        changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert changed == moved
    assert player(game, "generator").name == "generator"


def test_one_option_of_the_encoders_leaves_the_others(registry: Registry) -> None:
    game, _ = built(registry, "recipe.encoder.lr=1e-3")
    mover = next(player for player in game.players if player.name == "encoder")
    assert (mover.config.optimizer, mover.config.lr) == ("rmsprop", 1e-3)
    assert isinstance(mover.optimizer, torch.optim.RMSprop)


def test_it_is_of_images(registry: Registry) -> None:
    config = resolved(registry, "f-anogan", "ring", "architecture=mlp")
    with pytest.raises(GanforgeError, match="recipe 'f-anogan' finds anomalous images, not points"):
        build_game(config, DataSpec(shape=(2,)), registry)


def test_a_critic_without_features_is_refused(registry: Registry) -> None:
    game, stream = built(registry)
    critic = game.networks["discriminator"]
    critic.register_forward_hook(lambda module, inputs, critique: critique._replace(features=None))
    with pytest.raises(GanforgeError, match="needs a discriminator that offers features"):
        encoders_objective(game, stream)


@pytest.mark.parametrize("settings", [(), ("conditioning=concat", "data.resolution=16")])
def test_training_resumes_exactly_on_both_sides_of_the_border(
    registry: Registry, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    for share in ("0.3", "0.8"):
        assert_resumes_exactly(
            registry, tmp_path / share, "f-anogan", "digits", *SMALL, *settings, f"recipe.adversarial={share}"
        )


# The command.


@pytest.fixture(scope="module")
def run(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "run"
    request = {
        "recipe": {"name": "f-anogan", "width": 4},
        "data": {"name": "digits", "resolution": 8},
        "architecture": {"width": 4},
        "batch_size": 8,
        "steps": 6,
        "samples": 4,
        "observers": [],
        "machine": {"device": "cpu", "threads": 1},
    }
    train(request, directory, registry=registry)
    return directory


@pytest.fixture
def pictures(registry: Registry, tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    data: ArrayData = resolve({"recipe": "dcgan", "data": {"name": "digits", "resolution": 8}}, registry)[1]  # type: ignore[assignment]
    (folder / "deeper").mkdir()
    for i, name in enumerate(("0.png", "1.png", "deeper/2.png")):
        Image.fromarray(data.samples[i, 0]).save(folder / name)
    return folder


def test_the_command_scores_a_folder_the_worst_first(run: Path, pictures: Path, tmp_path: Path) -> None:
    lines = [line.split(",") for line in done("anomalies", run, pictures).out.splitlines()]
    assert sorted(name for _, name in lines) == ["0.png", "1.png", "deeper/2.png"]
    values = [float(value) for value, _ in lines]
    assert values == sorted(values, reverse=True)
    assert all(np.isfinite(values))
    assert "3 pictures" in done("anomalies", run, pictures, "-o", tmp_path / "scores.csv").out
    written = (tmp_path / "scores.csv").read_text().splitlines()
    assert written == ["score,file", *(",".join(line) for line in lines)]


def test_what_cannot_be_scored_is_said(run: Path, pictures: Path, tmp_path: Path) -> None:
    assert "cannot read image folder" in refused("anomalies", run, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "there is no image in" in refused("anomalies", run, tmp_path / "empty")
    assert "is not a run directory" in refused("anomalies", tmp_path / "empty", pictures)
    (pictures / "broken.png").write_bytes(b"no picture")
    sentence = refused("anomalies", run, pictures, "-o", tmp_path / "scores.csv")
    assert "broken.png: not a picture" in sentence
    assert not (tmp_path / "scores.csv").exists()
