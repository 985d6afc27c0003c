"""An encoder for another run's generator: its loss by hand, what stays as it was, and what does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import done, refused
from small_games import assert_resumes_exactly, resolved
from torch import Tensor, nn

from ganforge.core import GanforgeError, Run, resume, train
from ganforge.core.config import DEFAULT_OBSERVERS, load_data
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock
from ganforge.core.pictures import save_picture, to_pixels
from ganforge.core.registry import Registry
from ganforge.core.run import build_game

STYLES = {"width": 4, "style": 5, "depth": 2}
SOURCES = {
    "dcgan": {"architecture": {"width": 4}, "latent": {"dim": 4}},
    "labelled": {"recipe": "cdcgan", "architecture": {"width": 4}},
    "infogan": {"recipe": "infogan", "architecture": {"width": 4}},
    "growing": {"recipe": "stylegan", "architecture": STYLES, "latent": {"dim": 4}},
    "points": {"recipe": "vanilla", "data": "ring"},
}


def request(**changes: Any) -> dict[str, Any]:
    return {
        "recipe": "dcgan",
        "data": {"name": "digits", "resolution": 8},
        "batch_size": 8,
        "steps": 4,
        "samples": 16,
        "every": 2,
        "log_every": 1,
        "observers": [],
        "machine": {"device": "cpu", "threads": 1},
        **changes,
    }


def follow(of: Path, **changes: Any) -> dict[str, Any]:
    return request(recipe={"name": "encoder", "of": str(of), "width": 4, "encoder": {"lr": 1e-2}}, **changes)


@pytest.fixture(scope="module")
def sources(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        name: train(request(**changes), folder / name, registry=registry).directory for name, changes in SOURCES.items()
    }


def built(registry: Registry, source: Path, *settings: str) -> tuple[Any, Any]:
    """The game in its first round, and the encoder's objective."""
    small = ("data.resolution=8", "batch_size=8", "recipe.width=4", f"recipe.of={source}")
    config = resolved(registry, "encoder", "digits", *small, *settings)
    data = load_data(config.data, registry)
    game: Any = build_game(config, data.spec, registry)
    game.before_round(Clock(0, 10, 0))
    (mover,) = game.players
    draw = Draw(0, 0, "encoder", 0, 8, game.device, Stream(data, 0), 0)
    return game, game.objective(mover, draw, Clock(0, 10, 0))


@pytest.mark.parametrize(("latent", "pixels"), [(1.0, 0.0), (0.0, 1.0), (0.5, 3.0)])
def test_the_loss_is_that_of_latents_and_that_of_pixels(
    registry: Registry, sources: dict[str, Path], latent: float, pixels: float
) -> None:
    """α mse(E(G(z)), z) + β mse(G(E(x)), x): at 8×8 the encoder has no batch norm."""
    game, found = built(registry, sources["dcgan"], f"recipe.latent={latent}", f"recipe.pixels={pixels}")
    generator, encoder = game.networks["generator"].eval(), game.networks["encoder"]
    x, z = found.step.real.detach(), found.step.latent
    on_latents = nn.functional.mse_loss(encoder(generator(z).images), z)
    on_pixels = nn.functional.mse_loss(generator(encoder(x)).images, x)
    assert found.loss.item() == pytest.approx((latent * on_latents + pixels * on_pixels).item(), rel=1e-5)
    assert found.scalars["encoder/latents"].item() == pytest.approx(on_latents.item(), rel=1e-5)


def test_an_encoder_that_knows_has_no_loss(registry: Registry, sources: dict[str, Path]) -> None:
    game, found = built(registry, sources["dcgan"])
    z = found.step.latent

    class Knows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([z, z])

    game.networks["encoder"] = Knows()
    found.step.batch = found.step.batch._replace(samples=game.networks["generator"](z).images.detach())
    game.make_step = lambda *arguments: found.step
    assert game.objective(game.players[0], found.step.draw, Clock(0, 10, 0)).loss.item() == 0


@pytest.mark.parametrize("source", SOURCES)
def test_the_generator_is_the_others_average_and_stays(
    registry: Registry, sources: dict[str, Path], tmp_path: Path, source: str
) -> None:
    """Of labels, of another run's codes, grown to its size, and of points."""
    data = {"data": SOURCES[source]["data"]} if "data" in SOURCES[source] else {}
    run = train(follow(sources[source], **data), tmp_path / "run", registry=registry)
    of = Run.load(sources[source], registry=registry)
    np.testing.assert_array_equal(run.sample(12, 3), of.sample(12, 3))
    assert run.labelled == of.labelled
    assert sorted(run.game.networks) == ["encoder", "generator"]
    assert [player.name for player in run.game.players] == ["encoder"]
    fresh = build_game(run.config, run.data, registry)
    one, two = fresh.networks["encoder"].state_dict(), run.game.networks["encoder"].state_dict()
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_it_learns_to_invert(registry: Registry, tmp_path: Path) -> None:
    """A generator that has learned something: from its samples latents are found, far better than their mean says."""
    quick = {"generator": {"lr": 2e-3}, "discriminator": {"lr": 2e-3}, "steps": 150, "every": 150, "batch_size": 32}
    train(request(**{**SOURCES["dcgan"], **quick}), tmp_path / "source", registry=registry)
    run = train(follow(tmp_path / "source", steps=150, every=150, batch_size=32), tmp_path / "run", registry=registry)
    z = torch.from_numpy(run.game.inputs(7, 256))
    says = run.game.ema["encoder"](run.game.ema["generator"](z).images)
    assert nn.functional.mse_loss(says, z).item() < 0.5 * z.var().item()


@pytest.mark.parametrize("source", ["dcgan", "labelled", "growing"])
def test_it_resumes_exactly(registry: Registry, sources: dict[str, Path], tmp_path: Path, source: str) -> None:
    small = ("data.resolution=8", "recipe.width=4", f"recipe.of={sources[source]}")
    assert_resumes_exactly(registry, tmp_path, "encoder", "digits", *small)


def test_it_goes_on_when_the_other_run_is_gone(registry: Registry, sources: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(sources["dcgan"], tmp_path / "source")
    run = train(follow(tmp_path / "source"), tmp_path / "run", registry=registry)
    expected = run.sample(2)
    shutil.rmtree(tmp_path / "source")
    again = resume(tmp_path / "run", steps=6, registry=registry)
    assert again.round == 6
    np.testing.assert_array_equal(again.sample(2), expected)


def test_what_watches_every_run_can_watch_it(registry: Registry, sources: dict[str, Path], tmp_path: Path) -> None:
    wanted = follow(sources["dcgan"], observers=DEFAULT_OBSERVERS)
    run = train(wanted, tmp_path / "run", registry=registry)
    assert (run.directory / "report.html").exists()
    assert done("diagnose", run.directory).out.startswith("healthy")


def test_a_search_begins_with_what_it_says(registry: Registry, sources: dict[str, Path], tmp_path: Path) -> None:
    run = train(follow(sources["dcgan"]), tmp_path / "run", registry=registry)
    save_picture(to_pixels(run.sample(1, 5))[0], tmp_path / "p.png")
    asked = ("--restarts", 1, "--steps", 1, "--json", "-o", tmp_path / "found.png")
    assert json.loads(done("invert", run.directory, tmp_path / "p.png", *asked).out)["start"] == "encoder"


def test_it_has_nothing_to_export(registry: Registry, sources: dict[str, Path], tmp_path: Path) -> None:
    run = train(follow(sources["dcgan"]), tmp_path / "run", registry=registry)
    sentence = refused("export", run.directory, "-o", tmp_path / "m.onnx")
    assert sentence.endswith("run has nothing to export: its generator is another run's; export that one")
    assert not (tmp_path / "m.onnx").exists()


def test_what_does_not_fit_is_one_sentence(registry: Registry, sources: dict[str, Path], tmp_path: Path) -> None:
    def fails(words: str, wanted: dict[str, Any]) -> None:
        with pytest.raises(GanforgeError, match=words):
            train(wanted, tmp_path / "run", registry=registry)
        assert not (tmp_path / "run").exists()

    fails("name it with --set recipe.of=RUN", request(recipe="encoder"))
    fails("cannot read config file .*nowhere", follow(tmp_path / "nowhere"))
    wide = {"data": {"name": "digits", "resolution": 16}}
    fails("'recipe.of': .* makes 8×8 grey images.*, and the data has 16×16", follow(sources["dcgan"], **wide))
    fails("networks of .* do not fit", follow(sources["dcgan"], latent={"name": "normal", "dim": 7}))
