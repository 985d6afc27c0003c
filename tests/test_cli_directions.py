"""`ganforge directions`: closed form and principal components, and the sweep that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import TINY, done, refused
from explored import LABELLED, cells, load, make

from ganforge.cli.directions import sweep
from ganforge.cli.explore.components import components, layer_of, principal
from ganforge.core import DataSpec, Latent
from ganforge.core.latents import Generator
from ganforge.core.pictures import to_pixels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain"))


def test_components_of_a_linear_layer_are_its_singular_vectors() -> None:
    """Activations W z of normal z vary by W Wᵀ: GANSpace and SeFa then agree, but for what sampling blurs."""
    left, _ = torch.linalg.qr(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)))
    right, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))
    sizes = torch.tensor([8.0, 4, 2, 1])
    z = torch.from_numpy(Latent(dim=4).sample(0, 20_000))
    found = components(z @ (left * sizes @ right.T).T + 5, z, 3)
    agreement = (found.directions @ right[:, :3]).abs()
    torch.testing.assert_close(agreement, torch.eye(3), atol=0.05, rtol=0)
    torch.testing.assert_close(found.shares, sizes[:3].square() / sizes.square().sum(), atol=0.01, rtol=0)
    assert (found.directions.gather(1, found.directions.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_same_from_the_network_whose_layer_is_linear(run: Path) -> None:
    game = load(run).game
    network = game.ema["generator"]
    found = principal(game.averaged_generator, layer_of(network, "first"), 2, 8192, 0)
    expected = torch.linalg.svd(network.first.weight).Vh[:2]  # type: ignore[union-attr,arg-type]
    assert ((found.directions * expected).sum(dim=1).abs() > 0.97).all()


def test_rows_move_the_picture_both_ways(run: Path, tmp_path: Path) -> None:
    asked = ("-k", 2, "--picture", "3:1", "--steps", 5, "--reach", 2, "-o", tmp_path / "d.png", *TINY)
    told = json.loads(done("directions", run, *asked, "--json").out)
    assert np.array(told["directions"]).shape == (2, 3)
    shown = cells(tmp_path / "d.png")
    assert shown.shape == (2, 5, 8, 8)
    middle = to_pixels(load(run).sample(1, 3, start=1))[0, :, :, 0]
    np.testing.assert_array_equal(shown[:, 2], [middle, middle])
    latent = Latent(dim=3).sample(3, 1, start=1)
    end = load(run).game.sample(latent + 2 * np.array(told["directions"][1], np.float32))
    np.testing.assert_array_equal(shown[1, -1], to_pixels(end)[0, :, :, 0])


def test_a_file_s_card_says_what_the_run_s_network_does(run: Path, tmp_path: Path) -> None:
    done("export", run, "-o", tmp_path / "m.onnx", *TINY)
    told = [
        json.loads(done("directions", source, "--json", "-o", tmp_path / "d.png", *TINY).out)["directions"]
        for source in (run, tmp_path / "m.onnx")
    ]
    np.testing.assert_allclose(told[0], told[1], atol=1e-6)
    # There are no more than z has numbers.
    assert len(told[0]) == 3


def test_components_of_a_layer_named(tmp_path: Path) -> None:
    labelled = make(tmp_path, **LABELLED)
    for layer in ([], ["--layer", "inner.last"]):
        asked = ("--method", "pca", *layer, "--samples", 64, "-k", 2, "-o", tmp_path / "d.png", *TINY)
        told = json.loads(done("directions", labelled, *asked, "--json").out)
        assert told["layer"] == (layer or ["", "inner.first"])[1]
        np.testing.assert_allclose(np.linalg.norm(told["directions"], axis=1), 1, rtol=1e-5)
        assert told["shares"] == sorted(told["shares"], reverse=True)


def test_on_a_sphere_latents_stay_on_it() -> None:
    latent = Latent(name="sphere", dim=4, continuous=1)
    sphere = Generator(latent, DataSpec(shape=(1, 1, 1)), False, lambda z, y: z)
    moved = sweep(sphere, latent.sample(0, 1)[0], np.eye(2, 4, dtype=np.float32), np.array([-3.0, 0, 3]))
    assert moved.shape == (6, 5)
    np.testing.assert_allclose(np.linalg.norm(moved[:, :4], axis=1), 2, rtol=1e-6)


def test_more_directions_than_there_are_are_not_made_up(run: Path, tmp_path: Path) -> None:
    outcome = done("directions", run, "-k", 100, "--json", "-o", tmp_path / "d.png", *TINY)
    assert len(json.loads(outcome.out)["directions"]) == 3
    assert outcome.err == f"{run} tells of 3 directions, not of 100\n"


def test_mistakes_are_one_sentence(run: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.png", *TINY)
    assert "goes with --method pca" in refused("directions", run, "--layer", "first", *out)
    near = refused("directions", run, "--method", "pca", "--layer", "frist", *out)
    assert near == "unknown layer 'frist'; did you mean 'first'?"
    assert "one picture" in refused("directions", run, "--picture", "1,2", *out)
    assert "takes SEED" in refused("directions", run, "--picture", "x", *out)
    done("export", run, "-o", tmp_path / "m.onnx", *TINY)
    assert "give it the run directory" in refused("directions", tmp_path / "m.onnx", "--method", "pca", *out)
    assert "sefa" in refused("directions", run, "--method", "svd", *out)
    assert not (tmp_path / "out.png").exists()
