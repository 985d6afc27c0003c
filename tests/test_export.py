"""Export: what is in the file, that it is proved, and that what cannot be proved leaves no file."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export_toys import CLASSES, dcgan_run, toy_run

from ganforge.core import GanforgeError, Run
from ganforge.core.card import CARD_KEY, Card, Input, Output
from ganforge.export import export
from ganforge.export.graph import freeze

KINDS = {
    "plain": {},
    "spectral": {},
    "convolutional": {},
    "labelled": {"recipe": "toy-labelled"},
    "points": {"data": "toy-points", "architecture": "toy"},
    "codes": {"latent": {"dim": 5, "categorical": (3,), "continuous": 2}, "architecture": "toy"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def dcgan(folder: Path) -> tuple[Run, Path, Card]:
    run = dcgan_run(folder / "dcgan")
    return run, folder / "dcgan.onnx", export(run, folder / "dcgan.onnx")


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_what_its_run_gives(kind: str, tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run", kind, **KINDS[kind])
    card = export(run, tmp_path / "model.onnx")
    latents = run.config.latent.sample(5, 20)
    labels = np.arange(20) % 3 if card.labelled else None
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    given = session.run(None, card.feed(latents, labels))[0]
    np.testing.assert_allclose(given, run.sample(20, 5, labels=labels), atol=card.parity.tolerance)
    assert card.parity.batches == (1, 2, 7, 16)
    assert 0 <= card.parity.max_difference <= card.parity.tolerance
    assert "BatchNormalization" not in operators(tmp_path / "model.onnx")


def test_every_input_is_a_batch_of_rows(tmp_path: Path) -> None:
    latent = {"name": "truncated-normal", "truncation": 1.5, "dim": 5, "categorical": (3,)}
    run = toy_run(tmp_path / "run", "labelled", recipe="toy-labelled", latent=latent)
    card = export(run, tmp_path / "model.onnx")
    assert card.inputs == (
        Input(name="z", role="z", dtype="float32", width=5, low=-1.5, high=1.5),
        Input(name="codes", role="codes", dtype="float32", width=3, low=-1, high=1),
        Input(name="label", role="label", dtype="int64", width=1, low=0, high=2),
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("z", "tensor(float)", ["batch", 5]),
        ("codes", "tensor(float)", ["batch", 3]),
        ("label", "tensor(int64)", ["batch", 1]),
    ]


def test_the_card_says_what_it_is(dcgan: tuple[Run, Path, Card]) -> None:
    run, path, card = dcgan
    assert (card.recipe, card.paper, card.architecture) == ("dcgan", "1511.06434", "dcgan")
    assert card.network == "generator"
    assert card.plugin.startswith("dcgan (ganforge")
    assert (card.dataset, card.data.shape, card.data.classes) == ("toy", (3, 16, 16), CLASSES)
    assert card.latent == run.config.latent
    assert (card.rounds, card.images_seen) == (30, 120)
    assert card.config_sha256 == run.config.digest()
    assert card.outputs == (Output(name="images", dtype="float32", layout="NCHW", low=-1, high=1),)
    assert card.parity.torch == torch.__version__
    assert card.parity.onnxruntime == onnxruntime.__version__
    text = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert Card.model_validate_json(text[CARD_KEY]) == card
    assert list(text) == [CARD_KEY]


def test_the_file_is_whole_valid_and_opset_20(dcgan: tuple[Run, Path, Card]) -> None:
    model = onnx.load(dcgan[1], load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_the_file_says_nothing_of_the_machine_that_wrote_it(dcgan: tuple[Run, Path, Card]) -> None:
    content = dcgan[1].read_bytes()
    folders = (str(Path.home()), str(Path.cwd()), str(dcgan[1].parent), "site-packages")
    for leak in (*folders, ".py", 'File "', "torch.nn", "aten.", "pytorch"):
        assert leak.encode() not in content, leak


def test_a_single_file_plugin_s_path_stays_private(tmp_path: Path) -> None:
    card = export(toy_run(tmp_path / "run"), tmp_path / "model.onnx")
    assert card.plugin == "export_toys (export_toys.py)"
    assert str(Path(__file__).parent).encode() not in (tmp_path / "model.onnx").read_bytes()


def test_the_same_run_gives_the_same_file(dcgan: tuple[Run, Path, Card], tmp_path: Path) -> None:
    again = Run.load(dcgan[0].directory, registry=dcgan[0].registry)
    export(again, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == dcgan[1].read_bytes()


def test_spectral_norm_goes_exactly_and_only_from_the_copy(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run", "spectral")
    generator, z = run.game.ema["generator"], torch.randn(4, 6)
    before, state = generator(z).images, {k: v.clone() for k, v in run.game.state_dict().items()}
    frozen = freeze(generator)
    assert torch.equal(frozen(z), before)
    assert not any("parametrizations" in name for name in frozen.state_dict())
    assert torch.equal(generator(z).images, before)
    assert run.game.networks["generator"].eval()(z).images.shape == before.shape
    assert run.game.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in run.game.state_dict().items())


def test_the_averaged_weights_are_exported(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run")
    with torch.no_grad():
        run.game.networks["generator"].layers[0].weight.fill_(7)
    export(run, tmp_path / "model.onnx")
    weight = onnx.numpy_helper.to_array(onnx.load(tmp_path / "model.onnx").graph.initializer[0])
    assert weight.max() < 7


def test_export_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    run = toy_run(tmp_path / "run")
    capfd.readouterr()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        export(run, tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "frozen-batch",
            "the graph in the export of architecture 'toy' has z float32 [2, 6], images float32 [2, 3, 8, 8]"
            ", and its card says z float32 [N, 6], images float32 [N, 3, 8, 8]",
        ),
        ("fixed-groups", "architecture 'toy' cannot be exported: "),
        ("diverted", "the export of architecture 'toy' differs from the network by "),
        ("coupled", "the export of architecture 'toy' differs from the network by "),
    ],
    ids=["frozen-batch", "fixed-groups", "diverted", "coupled"],
)
def test_what_cannot_be_proved_leaves_no_file(kind: str, sentence: str, tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run", kind)
    (tmp_path / "old.onnx").write_bytes(b"what was there")
    with pytest.raises(GanforgeError) as caught:
        export(run, tmp_path / "old.onnx")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.onnx", "run"]
    assert (tmp_path / "old.onnx").read_bytes() == b"what was there"


def test_a_failed_training_is_not_exported(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run")
    run.game.ema["generator"].layers[0].bias.fill_(float("nan"))
    with pytest.raises(GanforgeError, match=r"^the generator gives values that are not finite: "):
        export(run, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_bad_paths_and_names(dcgan: tuple[Run, Path, Card], tmp_path: Path) -> None:
    run = dcgan[0]
    with pytest.raises(GanforgeError, match=r"^an exported file's name ends in \.onnx; .*\.pt does not$"):
        export(run, tmp_path / "model.pt")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(GanforgeError, match=r"is a directory; give the name of a file$"):
        export(run, tmp_path / "folder.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(GanforgeError, match=r"^could not write "):
        export(run, tmp_path / "file" / "model.onnx")
    with pytest.raises(GanforgeError, match=r"^unknown network 'generatr'; did you mean 'generator'"):
        export(run, tmp_path / "model.onnx", network="generatr")


def test_a_run_without_a_checkpoint_says_so(dcgan: tuple[Run, Path, Card], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_bytes((dcgan[0].directory / "config.toml").read_bytes())
    with pytest.raises(GanforgeError, match="has no checkpoint yet"):
        export(Run.load(tmp_path / "run", registry=dcgan[0].registry), tmp_path / "model.onnx")
