"""`--inputs seed`: the graph makes its own latents, and they are the ones numpy makes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from export_toys import assert_same_pictures, toy_run

from ganforge.core import GanforgeError, Latent, Run
from ganforge.core.card import Input
from ganforge.core.latents import CODES, keys, picture_seeds, uniforms
from ganforge.core.pictures import to_pixels
from ganforge.export import export
from ganforge.export import seeds as graph_seeds
from ganforge.export.seeds import FromSeeds
from ganforge.serve import Model, load

ANY_SEEDS = np.array([0, 1, -1, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63), *picture_seeds(3, 8)])
CODED = {"dim": 5, "categorical": (3, 2), "continuous": 2}


def graph(module: torch.nn.Module, **example: torch.Tensor) -> onnxruntime.InferenceSession:
    """A module as a session, for any number of rows."""
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in example}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, kwargs=example, dynamo=True, dynamic_shapes=shapes, verbose=False)
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])


def seed_example() -> torch.Tensor:
    return torch.arange(2)[:, None]


def test_the_graph_s_integers_are_numpy_s() -> None:
    class Uniforms(torch.nn.Module):
        def forward(self, seed: torch.Tensor) -> torch.Tensor:
            drawn = keys(seed)
            return torch.cat([graph_seeds.uniforms(drawn, 9, stream) for stream in (0, 1, CODES)], dim=1)

    found = graph(Uniforms(), seed=seed_example()).run(None, {"seed": ANY_SEEDS[:, None]})[0]
    expected = [uniforms(ANY_SEEDS, 9, stream=stream) for stream in (0, 1, CODES)]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_the_graph_s_latents_are_numpy_s(name: str) -> None:
    latent = Latent(name=name, **CODED)
    session = graph(FromSeeds(latent), seed=seed_example(), truncation=torch.ones(2, 1))
    for n, threshold in ((1, 0.3), (7, 1.0), (16, 7.0)):
        bounds = np.full((n, 1), threshold, np.float32)
        found = session.run(None, {"seed": ANY_SEEDS[:n, None], "truncation": bounds})[0]
        expected = latent.from_seeds(ANY_SEEDS[:n], truncation=threshold)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * max(1, threshold))
        assert (found != expected).mean() < 0.1, "more than an odd last bit differs"
        np.testing.assert_array_equal(found[:, 5:10], expected[:, 5:10])


def test_the_smallest_word_is_no_infinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that took half a step of the hash for nothing would give log 0 for one number in four billion."""
    monkeypatch.setattr(graph_seeds, "words", lambda one, two, position, stream: one * 0 + position * 0)
    session = graph(FromSeeds(Latent(dim=4)), seed=seed_example(), truncation=torch.full((2, 1), 7.0))
    found = session.run(None, {"seed": ANY_SEEDS[:2, None], "truncation": np.full((2, 1), 7, np.float32)})[0]
    np.testing.assert_allclose(found[:, ::2], np.sqrt(66 * np.log(2)), rtol=1e-6)


def test_each_row_has_its_own_truncation_and_sees_no_neighbour() -> None:
    latent = Latent(dim=6)
    session = graph(FromSeeds(latent), seed=seed_example(), truncation=torch.ones(2, 1))
    seeds, bounds = picture_seeds(4, 3), np.array([[0.2], [7], [1]], np.float32)
    found = session.run(None, {"seed": seeds[:, None], "truncation": bounds})[0]
    for i, bound in enumerate(bounds.ravel()):
        alone = latent.from_seeds(seeds[i : i + 1], truncation=float(bound))
        np.testing.assert_allclose(found[i : i + 1], alone, atol=1e-6)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Model]:
    """A labelled run with codes, and its file that takes seeds."""
    folder = tmp_path_factory.mktemp("seeded")
    run = toy_run(folder / "run", "labelled", recipe="toy-labelled", latent=CODED)
    export(run, folder / "model.onnx", inputs="seed")
    return run, load(folder / "model.onnx", device="cpu")


def test_the_inputs_are_columns(seeded: tuple[Run, Model]) -> None:
    assert seeded[1].card.inputs == (
        Input(name="seed", role="seed", dtype="int64", width=1),
        Input(name="truncation", role="truncation", dtype="float32", width=1, low=0.01, default=7),
        Input(name="label", role="label", dtype="int64", width=1, low=0, high=2),
    )


def test_one_seed_is_one_picture(seeded: tuple[Run, Model]) -> None:
    run, model = seeded
    whole = to_pixels(run.sample(20, 3))
    for size in (1, 7, 64):
        assert_same_pictures(model.sample(20, seed=3, batch_size=size), whole)
    assert_same_pictures(model.sample(5, seed=3, start=15), whole[15:])
    assert_same_pictures(model.sample(9, seed=3, truncation=0.3), to_pixels(run.sample(9, 3, truncation=0.3)))
    assert_same_pictures(model.sample(4, seed=3, label="owl"), to_pixels(run.sample(4, 3, labels=np.full(4, 2))))


def test_a_picture_s_own_seed_is_what_the_graph_takes(seeded: tuple[Run, Model]) -> None:
    run, model = seeded
    seeds, labels = picture_seeds(3, 6)[::-1], np.arange(6)[::-1] % 3
    np.testing.assert_allclose(model.of_seeds(seeds, labels), run.sample(6, 3)[::-1], atol=1e-4)


def test_a_model_is_a_generator_of_numbered_samples(seeded: tuple[Run, Model]) -> None:
    run, model = seeded
    samples, labels = model.generator._replace(truncation=0.5).sampler(3)(2, 5)
    expected, same = run.game.averaged_generator._replace(truncation=0.5).sampler(3)(2, 5)
    assert_same_pictures(samples, expected)
    np.testing.assert_array_equal(labels, same)


def test_a_file_that_takes_seeds_takes_no_latents(seeded: tuple[Run, Model]) -> None:
    with pytest.raises(GanforgeError, match=r"makes its own latents; export it with --inputs z to give them$"):
        seeded[1].generate(np.zeros((1, 12), np.float32), np.zeros(1, np.int64))


def test_a_sphere_is_not_truncated(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run", latent={"name": "sphere", "dim": 6})
    card = export(run, tmp_path / "m.onnx", inputs="seed")
    assert [one.role for one in card.inputs] == ["seed"]
    model = load(tmp_path / "m.onnx", device="cpu")
    assert_same_pictures(model.sample(9, seed=3), to_pixels(run.sample(9, 3)))
    with pytest.raises(GanforgeError, match="no tails to truncate"):
        model.sample(1, truncation=0.5)


def test_what_is_neither_z_nor_seed(seeded: tuple[Run, Model], tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match=r"^option 'export.inputs': input should be 'z' or 'seed', not 'seeds'$"):
        export(seeded[0], tmp_path / "m.onnx", inputs="seeds")
    assert list(tmp_path.iterdir()) == []
