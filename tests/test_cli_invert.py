"""`ganforge invert`: a picture the generator made is found again, and latents stay where samples lie."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import TINY, done, refused
from explored import LABELLED, cells, load, make
from PIL import Image

from ganforge.cli.explore.beginnings import in_z
from ganforge.cli.explore.inversion import Distance, Search, invert, log_likelihood, settle, within
from ganforge.cli.invert import errors
from ganforge.core import Latent, train
from ganforge.core.pictures import save_picture, to_pixels
from ganforge.core.registry import Registry


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def picture(run: Path) -> Path:
    """One that the run's generator makes."""
    path = run.parent / "picture.png"
    save_picture(to_pixels(load(run).sample(1, 5))[0], path)
    return path


def quiet(what: str, done: int, of: int) -> None:
    pass


def test_a_linear_generator_is_inverted_to_the_ridge_solution() -> None:
    """Mean over m pixels of (A z - x)², plus prior · mean z² / 2: (2/m AᵀA + prior/dim) z = 2/m Aᵀx."""
    drawn = torch.Generator().manual_seed(0)
    weight, picture = torch.randn(16, 3, generator=drawn) / 4, torch.randn(16, generator=drawn) / 4
    latent, prior = Latent(dim=3), 0.1
    found = invert(
        lambda z: (z @ weight.T).unflatten(1, (1, 4, 4)),
        latent,
        picture.view(1, 4, 4),
        latent.sample(0, 4),
        Search(steps=600, prior=prior),
        None,
        quiet,
    )
    normal = 2 / 16 * weight.T @ weight + prior / 3 * torch.eye(3)
    expected = torch.linalg.solve(normal, 2 / 16 * weight.T @ picture)
    torch.testing.assert_close(found.latents, expected.expand(4, 3), atol=1e-3, rtol=0)


def test_the_likelihood_of_a_normal_latent_and_of_others() -> None:
    z = torch.tensor([[1.0, 2.0, 9.0]])
    assert log_likelihood(Latent(dim=2, continuous=1), z).tolist() == [-1.25]
    assert log_likelihood(Latent(name="uniform", dim=3), z).tolist() == [0]


def test_latents_are_brought_back_to_where_samples_lie() -> None:
    random = torch.Generator().manual_seed(0)
    z = torch.tensor([[0.5, 3.0, -4.0, 2.0]])
    cube = z.clone()
    settle(Latent(name="uniform", dim=3, continuous=1), cube, random)
    assert cube[0, 0] == 0.5
    assert cube.abs().max() <= 1
    assert cube[0, 1].abs() < 1, "drawn again, not clipped"
    assert cube[0, 3] == 1
    sphere = z.clone()
    settle(Latent(name="sphere", dim=4), sphere, random)
    torch.testing.assert_close(sphere.norm(), torch.tensor(2.0))
    bounded = z.clone()
    settle(Latent(name="truncated-normal", dim=4, truncation=2.5), bounded, random)
    assert bounded.tolist() == [[0.5, 2.5, -2.5, 2.0]]


def test_features_count_by_their_weight() -> None:
    class Doubled(torch.nn.Module):
        def embed(self, pixels: torch.Tensor) -> object:
            return type("Features", (), {"features": pixels.flatten(1)})

    picture, other = torch.zeros(1, 2, 2), torch.full((1, 1, 2, 2), 0.5)
    plain = Distance(picture, None, 3.0)(other)
    seen = Distance(picture, Doubled(), 3.0)(other)  # type: ignore[arg-type]
    torch.testing.assert_close(plain, torch.tensor([0.25]))
    torch.testing.assert_close(seen, torch.tensor([0.25 + 3 * 0.25]))  # features 127.5, and half as much again


def test_a_picture_it_made_is_found_again(run: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.png"
    asked = ("--steps", 300, "--restarts", 4, "--prior", 0, "--json", "-o", out, *TINY)
    told = json.loads(done("invert", run, picture, *asked).out)
    assert told["psnr"] > 35
    np.testing.assert_array_equal(cells(out)[0, 0], np.asarray(Image.open(picture)))
    kept = json.loads((tmp_path / "found.json").read_text())
    assert len(kept["z"]) == 3
    assert kept["psnr"] == told["psnr"]
    # Other commands begin with what was found.
    done("interpolate", run, "--seeds", f"{tmp_path / 'found.json'},5", "--steps", 2, "-o", tmp_path / "way.png", *TINY)
    ends = cells(tmp_path / "way.png")[0]
    assert np.sqrt(np.mean((ends[0] - ends[1]) ** 2.0)) < 255 * 10 ** (-35 / 20)


def test_without_a_label_every_class_is_tried(tmp_path: Path) -> None:
    labelled = make(tmp_path, **LABELLED)
    made = load(labelled).sample(1, 3, labels=np.array([2]))
    save_picture(to_pixels(made)[0], tmp_path / "p.png")
    asked = ("--steps", 200, "--restarts", 6, "--features", "random-smoke-test", "--json", *TINY)
    told = json.loads(done("invert", labelled, tmp_path / "p.png", *asked, "-o", tmp_path / "a.png").out)
    assert told["label"] in ("class 0", "class 1", "class 2")
    told = json.loads(
        done("invert", labelled, tmp_path / "p.png", *asked, "--label", "1", "-o", tmp_path / "a.png").out
    )
    assert told["label"] == "class 1"


def test_what_an_encoder_says_is_brought_to_where_samples_lie() -> None:
    z = torch.tensor([[0.5, -4.0, 0.1, 0.9, 0.2, 3.0]])
    found = within(Latent(name="uniform", dim=2, categorical=(3,), continuous=1), z)
    assert found.tolist() == [[0.5, -1, 0, 1, 0, 1]]
    assert within(Latent(dim=6), z).tolist() == z.tolist()


@pytest.mark.parametrize(
    ("conditioning", "label", "known"), [("none", None, 1), ("concat", None, 3), ("concat", "2", 1)]
)
def test_the_run_s_own_encoder_says_where_to_begin(
    registry: Registry, tmp_path: Path, conditioning: str, label: str | None, known: int
) -> None:
    request = {
        "recipe": {"name": "bigan", "encoder": 4, "joint": 8},
        "data": {"name": "digits", "resolution": 8, "only": ["0", "1", "2"]},
        "conditioning": conditioning,
        "architecture": {"width": 4},
        "batch_size": 8,
        "steps": 2,
        "samples": 4,
        "observers": [],
        "machine": {"device": "cpu", "threads": 1},
    }
    game = train(request, tmp_path / "run", registry=registry).game
    picture = torch.rand(1, 8, 8) * 2 - 1
    begun = in_z(game, picture, 5, 0, label)
    says = game.ema["encoder"](picture[None]).clamp(-1, 1).detach().expand(known, -1)
    assert begun.known == known
    torch.testing.assert_close(torch.from_numpy(begun.begin[:known]), says)
    np.testing.assert_array_equal(begun.begin[known:], game.latent.sample(0, 5)[known:])
    assert (begun.labels is None) == (conditioning == "none")
    save_picture(to_pixels(picture[None].numpy())[0], tmp_path / "p.png")
    named = () if label is None else ("--label", label)
    asked = ("--restarts", 1, "--steps", 1, "--json", "-o", tmp_path / "f.png", *named)
    assert json.loads(done("invert", tmp_path / "run", tmp_path / "p.png", *asked).out)["start"] == "encoder"


def test_error_figures() -> None:
    black, grey = np.zeros((2, 2, 1), np.uint8), np.full((2, 2, 1), 51, np.uint8)
    assert errors(black, grey) == {"l2": 51, "psnr": pytest.approx(20 * np.log10(5))}
    assert errors(black, black)["psnr"] == 99


def test_mistakes_are_one_sentence(run: Path, picture: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.png", *TINY)
    save_picture(np.zeros((9, 12, 3), np.uint8), tmp_path / "wide.png")
    wide = refused("invert", run, tmp_path / "wide.png", *out)
    assert wide.endswith("wide.png is 9×12, and the generator makes 8×8 grey images; --crop crops and resizes it")
    (tmp_path / "text.png").write_text("no picture")
    assert "cannot read picture" in refused("invert", run, tmp_path / "text.png", *out)
    assert "No such file" in refused("invert", run, tmp_path / "none.png", *out)
    assert "leave --label out" in refused("invert", run, picture, "--label", "1", *out)
    assert "give the run directory" in refused("invert", tmp_path / "m.onnx", picture, *out)
    assert "unknown extractor" in refused("invert", run, picture, "--features", "vgg", *out)
    assert not (tmp_path / "out.png").exists()
    assert not (tmp_path / "out.json").exists()
    done("invert", run, tmp_path / "wide.png", "--crop", "--steps", 1, *out)
