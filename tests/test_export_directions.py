"""Directions on the card: the first layer's leading singular vectors, whatever the architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_toys import toy_run
from torch import Tensor, nn

from ganforge.core import Run
from ganforge.core.game import Generated
from ganforge.export.directions import directions
from ganforge.export.exporter import _card, _choose
from ganforge.export.form import Form
from ganforge.export.graph import freeze
from ganforge.serve import load


def singular(weight: Tensor, n: int) -> np.ndarray:
    """The leading right singular vectors of [outputs, dim], with SVD and their largest number positive."""
    found = torch.linalg.svd(weight.detach().double()).Vh[:n].numpy()
    largest = np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1)
    return found * np.sign(largest)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return toy_run(tmp_path_factory.mktemp("directions") / "run", latent={"dim": 6, "categorical": (3,)})


def found(run: Run, network: nn.Module, **changes: Any) -> np.ndarray:
    name, wanted = _choose(run, None)
    card = _card(run, name, wanted, Form()).model_copy(update=changes)
    return np.array(directions(freeze(network), card.latent, labelled=card.labelled))


def test_a_linear_layer_s_without_the_codes(run: Run) -> None:
    weight = run.game.ema["generator"].layers[0].weight
    given = found(run, run.game.ema["generator"])
    assert given.shape == (6, 6)
    np.testing.assert_allclose(given, singular(weight[:, :6], 6), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, atol=1e-5)


class Toy(nn.Module):
    """`first` of z, with what it needs around it."""

    def __init__(self, first: nn.Module, before: Any) -> None:
        super().__init__()
        self.first, self.before = first, before

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.first(self.before(latents)).flatten(1)[:, :192].unflatten(1, (-1, 1, 1)))


def test_a_transposed_convolution_s(run: Run) -> None:
    layer = nn.ConvTranspose2d(9, 4, 3)
    given = found(run, Toy(layer, lambda z: z[:, :, None, None]))
    np.testing.assert_allclose(given, singular(layer.weight[:6].flatten(1).T, 6), atol=1e-4)


def test_only_the_part_of_z_that_the_layer_sees(run: Run) -> None:
    layer = nn.Linear(2, 5)
    given = found(run, Toy(layer, lambda z: 3 * z[:, 4:6]))
    np.testing.assert_allclose(given[:, 4:], singular(layer.weight, 2), atol=1e-4)
    assert given.shape == (2, 6)
    assert (given[:, :4] == 0).all()


def test_none_where_z_is_normalised_or_meets_no_layer(run: Run) -> None:
    normalised = Toy(nn.Linear(9, 5), lambda z: z / (z.norm(dim=1, keepdim=True) + 1e-3))
    assert found(run, normalised).size == 0
    assert found(run, Toy(nn.Identity(), lambda z: z)).size == 0


def test_a_layer_of_labels_is_none_of_z(tmp_path: Path) -> None:
    labelled = toy_run(tmp_path / "run", "labelled", recipe="toy-labelled", latent={"dim": 12})
    given = found(labelled, labelled.game.ema["generator"])
    assert given.shape == (8, 12)


def test_they_are_on_the_card(run: Run, tmp_path: Path) -> None:
    from ganforge.export import export

    card = export(run, tmp_path / "m.onnx", inputs="seed")
    np.testing.assert_allclose(card.directions, found(run, run.game.ema["generator"]), atol=1e-6)
    assert load(tmp_path / "m.onnx").card.directions == card.directions
