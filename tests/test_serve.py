"""Sampling from an exported file: the run's own pictures, in any split; and bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from export_toys import CLASSES, assert_same_pictures, dcgan_run, toy_run

from ganforge.core import GanforgeError, Run
from ganforge.core.card import CARD_KEY
from ganforge.core.pictures import to_pixels
from ganforge.export import export
from ganforge.serve import Model, load


def exported(run: Run, path: Path) -> tuple[Run, Path, Model]:
    export(run, path)
    return run, path, load(path, device="cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path, Model]:
    folder = tmp_path_factory.mktemp("pictures")
    return exported(dcgan_run(folder / "run"), folder / "model.onnx")


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path, Model]:
    folder = tmp_path_factory.mktemp("points")
    return exported(toy_run(folder / "run", data="toy-points", architecture="toy"), folder / "model.onnx")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path, Model]:
    folder = tmp_path_factory.mktemp("labelled")
    return exported(toy_run(folder / "run", "labelled", recipe="toy-labelled"), folder / "model.onnx")


def test_a_file_gives_its_run_s_pictures(pictures: tuple[Run, Path, Model]) -> None:
    run, _, model = pictures
    given = model.sample(70, seed=3)
    assert given.shape == (70, 16, 16, 3)
    assert given.std(axis=0).mean() > 3, "the pictures are too alike for this test to mean anything"
    assert_same_pictures(given, to_pixels(run.sample(70, 3)))
    assert_same_pictures(model.sample(9, seed=3, truncation=0.5), to_pixels(run.sample(9, 3, truncation=0.5)))
    for other in (model.sample(9, seed=3, truncation=0.5), model.sample(9, seed=4)):
        assert (other != given[:9]).mean() > 0.5


def test_a_file_gives_its_run_s_points(points: tuple[Run, Path, Model]) -> None:
    run, _, model = points
    given = model.sample(20, seed=3)
    assert given.shape == (20, 2)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, run.sample(20, 3), atol=model.card.parity.tolerance)


def test_any_split_into_batches_gives_the_same_pictures(pictures: tuple[Run, Path, Model]) -> None:
    model = pictures[2]
    whole = model.sample(20, seed=3)
    for size in (1, 7, 20, 64):
        assert_same_pictures(model.sample(20, seed=3, batch_size=size), whole)
    assert_same_pictures(np.concatenate([model.sample(13, seed=3), model.sample(7, seed=3, start=13)]), whole)


def test_a_label_is_a_name_or_a_number(labelled: tuple[Run, Path, Model]) -> None:
    run, _, model = labelled
    owls = model.sample(4, seed=3, label="owl")
    assert_same_pictures(owls, to_pixels(run.sample(4, 3, labels=np.full(4, 2))))
    assert_same_pictures(model.sample(4, seed=3, label=2), owls)
    assert_same_pictures(model.sample(4, seed=3, label="2"), owls)
    assert (model.sample(4, seed=3, label="cat") != owls).mean() > 0.5


@pytest.mark.parametrize("labels", [np.array([0, 1, 2, 7]), np.array([0, -1, 0, 0]), np.zeros(3, int), np.zeros(4)])
def test_a_run_refuses_labels_as_a_file_does(
    labelled: tuple[Run, Path, Model], pictures: tuple[Run, Path, Model], labels: np.ndarray
) -> None:
    with pytest.raises(GanforgeError, match="labels must be 4 whole numbers from 0 to 2"):
        labelled[0].sample(4, labels=labels)
    with pytest.raises(GanforgeError, match="takes no labels"):
        pictures[0].sample(4, labels=labels)


def test_without_a_label_the_classes_come_in_turn(labelled: tuple[Run, Path, Model]) -> None:
    run, _, model = labelled
    turns = to_pixels(run.sample(7, 3, labels=np.arange(7) % len(CLASSES)))
    assert_same_pictures(model.sample(7, seed=3), turns)
    assert_same_pictures(model.sample(3, seed=3, start=4, batch_size=2), turns[4:])


def test_generate_gives_the_network_s_own_numbers(
    pictures: tuple[Run, Path, Model], labelled: tuple[Run, Path, Model]
) -> None:
    for run, _, model in (pictures, labelled):
        latents = model.card.latent.sample(3, 5)
        labels = np.arange(5) % 3 if model.card.labelled else None
        given = model.generate(latents, labels)
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, run.sample(5, 3, labels=labels), atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"n": 1, "start": -1}, "start must be at least 0, not -1"),
        ({"n": 1, "batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"n": 1, "truncation": 0.0}, "truncation must be above 0, not 0.0"),
        ({"n": 1, "label": "cta"}, "unknown class 'cta'; did you mean 'cat'?"),
        ({"n": 1, "label": 3}, "unknown class '3'; there is cat, dog, owl"),
        ({"n": 1, "label": -1}, "unknown class '-1'; there is cat, dog, owl"),
    ],
)
def test_bad_arguments(labelled: tuple[Run, Path, Model], arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GanforgeError) as caught:
        labelled[2].sample(**arguments)
    assert str(caught.value) == sentence


def test_a_label_where_there_is_none(pictures: tuple[Run, Path, Model]) -> None:
    with pytest.raises(GanforgeError, match=r"model\.onnx was trained without labels; leave the label out$"):
        pictures[2].sample(1, label="cat")


def test_bad_arrays(labelled: tuple[Run, Path, Model], pictures: tuple[Run, Path, Model]) -> None:
    z = np.zeros((2, 6), np.float32)
    for latents in (z[0], z[:, :5], z[:0]):
        with pytest.raises(GanforgeError, match=r"^latents must be an array \[N, 6\], not "):
            labelled[2].generate(latents, np.zeros(2, np.int64))
    with pytest.raises(GanforgeError, match=r"needs labels$"):
        labelled[2].generate(z)
    with pytest.raises(GanforgeError, match=r"takes no labels$"):
        pictures[2].generate(np.zeros((2, 100), np.float32), np.zeros(2, np.int64))
    for labels in (np.array([0, 3]), np.array([-1, 0]), np.array([0.0, 1.0]), np.array([0])):
        with pytest.raises(GanforgeError, match=r"^labels must be 2 whole numbers from 0 to 2$"):
            labelled[2].generate(z, labels)


def refusal(path: Path, **arguments: Any) -> str:
    """The sentence with which a file is refused, without its folder."""
    with pytest.raises(GanforgeError) as caught:
        load(path, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_files_that_are_no_models(pictures: tuple[Run, Path, Model], tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.onnx") == "cannot read no.onnx: No such file or directory"
    assert refusal(tmp_path) == f"cannot read {tmp_path.name}: Is a directory"
    whole = pictures[1].read_bytes()
    for content in (b"", b"GIF89a not a model", whole[: len(whole) // 2]):
        (tmp_path / "bad.onnx").write_bytes(content)
        assert refusal(tmp_path / "bad.onnx").startswith("bad.onnx is not a whole ONNX model: ")


def recarded(source: Path, target: Path, change: Any) -> Path:
    """A copy of a model whose card's text went through `change`."""
    model = onnx.load(source)
    text = change({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
    onnx.helper.set_model_props(model, {CARD_KEY: text} if text is not None else {})
    onnx.save(model, target)
    return target


def edited(**changes: Any) -> Any:
    return lambda text: json.dumps(json.loads(text) | changes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: None, "m.onnx has no ganforge card: `ganforge export` did not write it"),
        (lambda text: text[:-1], "the card in m.onnx is damaged; export the model again"),
        (lambda text: "[]", "the card in m.onnx is damaged; export the model again"),
        (lambda text: "[" * 100_000, "the card in m.onnx is damaged; export the model again"),
        (
            edited(version=2, more="fields"),
            "the card in m.onnx has version 2, and this ganforge reads up to 1: upgrade it",
        ),
        (
            edited(rounds="many"),
            "the card in m.onnx cannot be read: option 'card.rounds': input should be a valid integer, "
            "unable to parse string as an integer, not 'many'",
        ),
        (
            edited(latent={"dim": 99}),
            "the card in m.onnx cannot be read: option 'card': input 'z' is 100 wide, and should be 99",
        ),
        (
            edited(data={"shape": [3, 32, 32]}),
            "the graph in m.onnx has z float32 [N, 100], images float32 [N, 3, 16, 16], and its card says "
            "z float32 [N, 100], images float32 [N, 3, 32, 32]",
        ),
        (
            edited(inputs=[{"name": "z", "role": "noise", "dtype": "float32", "width": 100}]),
            "m.onnx has inputs or outputs unknown to this ganforge: upgrade it",
        ),
    ],
    ids=["none", "cut", "list", "nested", "newer", "type", "latent", "data", "role"],
)
def test_cards_that_do_not_fit(pictures: tuple[Run, Path, Model], tmp_path: Path, change: Any, sentence: str) -> None:
    assert refusal(recarded(pictures[1], tmp_path / "m.onnx", change)) == sentence


@pytest.mark.parametrize("absolute", [False, True])
def test_a_file_cannot_read_other_files(
    pictures: tuple[Run, Path, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    model = onnx.load(pictures[1])
    tensor = next(t for t in model.graph.initializer if t.raw_data)
    (tmp_path / "other.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(tmp_path / "other.bin") if absolute else "other.bin")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    assert refusal(tmp_path / "m.onnx").startswith("m.onnx is not a whole ONNX model: ")


def test_foreign_operators_are_refused(pictures: tuple[Run, Path, Model], tmp_path: Path) -> None:
    model = onnx.load(pictures[1])
    model.graph.node[-1].domain = "com.stranger"
    model.opset_import.add(domain="com.stranger", version=1)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert refusal(tmp_path / "m.onnx").startswith("m.onnx is not a whole ONNX model: ")


def test_devices(pictures: tuple[Run, Path, Model], capfd: pytest.CaptureFixture[str]) -> None:
    assert load(pictures[1]).device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert refusal(pictures[1], device="tpu") == "there is no device 'tpu'; there is auto, cpu, cuda"
    if not torch.cuda.is_available():
        assert "finds no working CUDA GPU here; use cpu or auto" in refusal(pictures[1], device="cuda")
    assert capfd.readouterr() == ("", "")


def test_no_onnxruntime(pictures: tuple[Run, Path, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert refusal(pictures[1]) == (
        "onnxruntime is missing or damaged; install one of ganforge[cpu] and, for a GPU, ganforge[gpu]"
    )
