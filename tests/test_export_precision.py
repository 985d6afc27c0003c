"""`--precision fp16` and `int8`: what is in the file, what it costs, and when it is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from export_toys import CLASSES, assert_same_pictures, dcgan_run, toy_run

from ganforge.core import GanforgeError, Run
from ganforge.core.card import Card, Score
from ganforge.core.pictures import to_pixels
from ganforge.export import export, exporter, proof
from ganforge.export.graph import freeze
from ganforge.export.passes import optimised
from ganforge.export.precision import halved
from ganforge.serve import Model, load

MEAN = {"fp16": 0.0005, "int8": 0.01}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return dcgan_run(tmp_path_factory.mktemp("precision") / "run")


@pytest.fixture(scope="module")
def exact(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exact") / "fp32.onnx"
    export(run, path)
    return path


FORMS = [
    {"precision": "fp16"},
    {"precision": "int8"},
    {"precision": "fp16", "inputs": "seed", "pixels": "uint8"},
    {"precision": "int8", "inputs": "seed", "pixels": "uint8"},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form.values()))
def test_a_file_gives_nearly_what_its_run_gives(run: Run, exact: Path, tmp_path: Path, form: dict[str, str]) -> None:
    card: Card = export(run, tmp_path / "m.onnx", **form)
    precision = form["precision"]
    assert (card.precision, card.outputs[0].dtype) == (precision, form.get("pixels", "float32"))
    assert card.parity.batches == (1, 2, 7, 16)
    assert card.parity.mean_difference < MEAN[precision]
    model = load(tmp_path / "m.onnx", device="cpu")
    whole, expected = model.sample(20, seed=3), to_pixels(run.sample(20, 3)).astype(int)
    assert np.abs(whole - expected).mean() < 127.5 * MEAN[precision] + 0.5
    for size in (1, 2, 7):
        assert_same_pictures(model.sample(20, seed=3, batch_size=size), whole)
    assert (tmp_path / "m.onnx").stat().st_size < 0.75 * exact.stat().st_size


def test_the_weights_are_of_the_type(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path / "fp16.onnx", precision="fp16")
    export(run, tmp_path / "int8.onnx", precision="int8")
    for name, kind in (("fp16", onnx.TensorProto.FLOAT16), ("int8", onnx.TensorProto.INT8)):
        model = onnx.load(tmp_path / f"{name}.onnx")
        weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
        assert {tensor.data_type for tensor in weights} == {kind}
        assert [prop.key for prop in model.metadata_props] == ["ganforge.card"]
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
        assert model.producer_name == "ganforge"
        assert str(tmp_path).encode() not in model.SerializeToString()
    operators = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert "ConvTranspose" not in operators
    assert "QuantizeLinear" in operators


def test_int8_weights_leave_a_bit_free_for_older_processors(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path / "m.onnx", precision="int8")
    weights = [
        onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "m.onnx").graph.initializer if len(t.dims) > 1
    ]
    assert max(np.abs(weight.astype(int)).max() for weight in weights) <= 64


def test_the_same_run_gives_the_same_int8_file(run: Run, tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        export(run, tmp_path / name, precision="int8")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_labels_and_points(tmp_path: Path, precision: str) -> None:
    labelled = toy_run(tmp_path / "labelled", "labelled", recipe="toy-labelled")
    export(labelled, tmp_path / "m.onnx", precision=precision, force=True)
    assert load(tmp_path / "m.onnx", device="cpu").sample(3, label=CLASSES[1]).shape == (3, 8, 8, 3)
    points = toy_run(tmp_path / "points", data="toy-points", architecture="toy")
    card: Card = export(points, tmp_path / "p.onnx", precision=precision, force=True)
    assert card.outputs[0].name == "points"


def test_what_a_network_makes_in_fp32_joins_the_rest() -> None:
    class Mixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(5, 2)

        def forward(self, z: torch.Tensor, labels: torch.Tensor) -> Any:
            from ganforge.core.game import Generated

            hot = torch.nn.functional.one_hot(labels, 3).float()
            return Generated(self.layer(torch.cat([z, hot], dim=1)))

    frozen = freeze(Mixed())
    z, labels = torch.randn(4, 2), torch.zeros(4, 1, dtype=torch.int64)
    given = halved(frozen)(z, labels)
    assert given.dtype == torch.float32
    torch.testing.assert_close(given, frozen(z, labels), atol=5e-3, rtol=0)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_too_great_a_loss_is_refused_unless_forced(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setitem(proof.LOSS, precision, 1e-7)
    with pytest.raises(GanforgeError) as caught:
        export(run, tmp_path / "m.onnx", precision=precision)
    assert str(caught.value).startswith(
        f"the export of architecture 'dcgan' in {precision} differs from the network by "
    )
    assert str(caught.value).endswith("on average (allowed: 1e-07); it can be forced")
    assert list(tmp_path.iterdir()) == []
    card: Card = export(run, tmp_path / "m.onnx", precision=precision, force=True)
    assert card.parity.mean_difference > card.parity.tolerance
    assert load(tmp_path / "m.onnx").card == card


def test_values_that_are_not_finite_cannot_be_forced(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflowing(model: onnx.ModelProto) -> onnx.ModelProto:
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT16:
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(tensor.dims, np.inf, np.float16), tensor.name))
        return model

    monkeypatch.setattr(exporter, "optimised", lambda model: overflowing(optimised(model)))
    with pytest.raises(GanforgeError, match=r"in fp16 gives values that are not finite, which nothing can force$"):
        export(run, tmp_path / "m.onnx", precision="fp16", force=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_what_is_wrong_in_fp32_cannot_be_forced(tmp_path: Path, precision: str) -> None:
    run = toy_run(tmp_path / "run", "coupled")
    with pytest.raises(GanforgeError, match="each sample from its own latent"):
        export(run, tmp_path / "m.onnx", precision=precision, force=True)
    assert not (tmp_path / "m.onnx").exists()


def test_there_is_nothing_to_force_in_fp32(run: Run, tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match=r"^there is nothing to force in fp32: "):
        export(run, tmp_path / "m.onnx", force=True)
    with pytest.raises(GanforgeError, match=r"^option 'export.precision': input should be 'fp32', 'fp16' or 'int8'"):
        export(run, tmp_path / "m.onnx", precision="fp8")


def test_it_is_quiet(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    handlers = list(logging.getLogger().handlers)
    with caplog.at_level(logging.WARNING):
        for precision in ("fp16", "int8"):
            export(run, tmp_path / "m.onnx", precision=precision)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger().handlers == handlers


def test_scores_are_of_the_file_before_it_is_written(run: Run, tmp_path: Path) -> None:
    seen = []

    def judge(model: Model) -> list[Score]:
        seen.append(model.sample(2, seed=1))
        assert not (tmp_path / "m.onnx").exists()
        return [Score(name="kid", value=0.5, provenance={"fp32": 0.25})]

    card: Card = export(run, tmp_path / "m.onnx", precision="int8", judge=judge)
    model = load(tmp_path / "m.onnx", device="cpu")
    assert [score.value for score in card.scores] == [0.5]
    assert model.card == card
    np.testing.assert_array_equal(model.sample(2, seed=1), seen[0])


def test_a_judge_that_fails_leaves_no_file(run: Run, tmp_path: Path) -> None:
    def judge(model: Model) -> list[Score]:
        raise GanforgeError("no data")

    with pytest.raises(GanforgeError, match="no data"):
        export(run, tmp_path / "m.onnx", precision="int8", judge=judge)
    assert list(tmp_path.iterdir()) == []
