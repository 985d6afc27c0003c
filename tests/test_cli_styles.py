"""Commands in w: a generator cut at its styles, inversion from their mean, and components of w."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import done, refused
from explored import cells

from ganforge.cli.explore.components import main_axes
from ganforge.cli.explore.places import InSpace, find, open_images
from ganforge.cli.explore.styles import Styled
from ganforge.core import Run, train
from ganforge.core.pictures import save_picture, to_pixels
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN


def made(folder: Path, recipe: str, **changes: object) -> Path:
    """A run of a few rounds whose styles make different pictures already."""
    request = {
        "recipe": recipe,
        "data": {"name": "digits", "resolution": 8},
        "architecture": {"width": 4, "style": 5, "depth": 2},
        "latent": {"dim": 4},
        "generator": {"lr": 0.02},
        "ema": {"decay": 0.0},
        "batch_size": 8,
        "steps": 3,
        "samples": 4,
        "observers": [],
        "machine": {"device": "cpu", "threads": 1},
        **changes,
    }
    train(request, folder / recipe, registry=Registry(fallback=BUILTIN))
    return folder / recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("styled"), "stylegan2")


@pytest.fixture(scope="module")
def styled(run: Path) -> Styled:
    return Styled(Run.load(run).game)


@pytest.mark.parametrize("recipe", ["stylegan", "stylegan2"])
@pytest.mark.parametrize("changes", [{}, {"conditioning": "concat"}])
@pytest.mark.parametrize("truncation", [None, 0.5])
def test_in_w_it_makes_the_samples(
    tmp_path: Path, recipe: str, changes: dict[str, str], truncation: float | None
) -> None:
    """Also by growing, with labels, and truncated."""
    directory = made(tmp_path, recipe, **changes)
    generator = open_images(directory, truncation, InSpace.w)
    w, labels = generator.draw(3, 12, start=2)
    assert labels is None
    expected = Run.load(directory).sample(12, 3, start=2, truncation=truncation)
    np.testing.assert_allclose(generator.make(w), expected, atol=1e-6)


def test_truncation_reaches_the_styles_of_a_picture_by_its_place(run: Path) -> None:
    generator = open_images(run, 0.5)
    latents, labels = find(generator, "3:2", "--seeds")
    expected = Run.load(run).sample(1, 3, start=2, truncation=0.5)
    np.testing.assert_array_equal(generator.make(latents, labels), expected)


def test_a_picture_of_a_known_w_is_found_again(run: Path, styled: Styled, tmp_path: Path) -> None:
    """Of a w that no z has, with the mean of w as the only beginning."""
    w = 3 * styled.generator.draw(1, 1)[0] + 0.5
    save_picture(to_pixels(styled.generator.make(w))[0], tmp_path / "picture.png")
    out = tmp_path / "found.png"
    asked = ("--space", "w", "--restarts", 1, "--steps", 500, "--rate", 0.1, "--json", "-o", out)
    told = json.loads(done("invert", run, tmp_path / "picture.png", *asked).out)
    assert told["psnr"] > 40
    kept = json.loads((tmp_path / "found.json").read_text())
    assert list(kept) == ["w", "label", "start", "image", "l2", "psnr"]
    assert (len(kept["w"]), kept["label"], kept["start"]) == (5, None, "mean")
    # Other commands begin with what was found, if they are told that it is a w.
    way, places = tmp_path / "way.png", ("--seeds", f"{tmp_path / 'found.json'},5")
    done("interpolate", run, *places, "--space", "w", "--steps", 3, "-o", way)
    shown = cells(way)[0]
    assert np.sqrt(np.mean((shown[0] - cells(out)[0, 0]) ** 2.0)) < 255 * 10 ** (-40 / 20)
    middle = (np.array([kept["w"]], np.float32) + styled.generator.draw(5, 1)[0]) / 2
    np.testing.assert_allclose(shown[1], to_pixels(styled.generator.make(middle))[0, :, :, 0], atol=1)
    sentence = refused("interpolate", run, *places, "-o", way)
    assert sentence.endswith("found.json holds a w, and what is taken here is a z; give --space w")


def test_components_of_w_are_those_of_its_covariance(run: Path, styled: Styled, tmp_path: Path) -> None:
    asked = ("--space", "w", "--method", "pca", "--samples", 256, "-k", 3, "--steps", 3, "--picture", "2:1")
    told = json.loads(done("directions", run, *asked, "--reach", 0.5, "--json", "-o", tmp_path / "d.png").out)
    w = styled.generator.draw(0, 256)[0].astype(np.float64)
    variances, axes = np.linalg.eigh(np.cov(w.T))
    np.testing.assert_allclose(told["shares"], variances[::-1][:3] / variances.sum(), rtol=1e-4)
    alike = np.abs((np.array(told["directions"]) * axes.T[::-1][:3]).sum(axis=1))
    np.testing.assert_allclose(alike, 1, atol=1e-4)
    end = styled.generator.draw(2, 1, start=1)[0] + 0.5 * np.array(told["directions"], np.float32)
    np.testing.assert_array_equal(
        cells(tmp_path / "d.png")[:, -1], to_pixels(styled.generator.make(end.astype(np.float32)))[..., 0]
    )


def test_axes_come_with_the_largest_variance_first() -> None:
    drawn = torch.randn(4096, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0, 2.0]) + 7
    axes = main_axes(drawn, 2)
    torch.testing.assert_close(axes.directions, torch.eye(3)[[1, 2]], atol=0.05, rtol=0)
    torch.testing.assert_close(axes.shares, torch.tensor([9, 4]) / 14, atol=0.02, rtol=0)


def test_mistakes_are_one_sentence(run: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.png")
    plain = made(tmp_path, "dcgan", architecture={"width": 4})
    assert "has no w" in refused("interpolate", plain, "--seeds", "1,2", "--space", "w", *out)
    assert "takes z and no w" in refused("interpolate", tmp_path / "m.onnx", "--seeds", "1,2", "--space", "w", *out)
    assert "leave --label out" in refused("interpolate", run, "--seeds", "1,2", "--space", "w", "--label", 1, *out)
    assert "goes with --method pca" in refused("directions", run, "--space", "w", *out)
    layer = ("--method", "pca", "--layer", "constant")
    assert "goes with --method pca" in refused("directions", run, "--space", "w", *layer, *out)
    (tmp_path / "z.json").write_text('{"z": [0, 0, 0, 0]}')
    z = refused("arithmetic", run, "--plus", tmp_path / "z.json", "--minus", 1, "--space", "w", *out)
    assert z.endswith("z.json holds a z, and what is taken here is a w; give --space z")
    assert not (tmp_path / "out.png").exists()
