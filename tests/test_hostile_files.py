"""A stranger's file: whatever is in it, one sentence and no model, and nothing else on the machine is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from export_toys import toy_run
from onnx import TensorProto, helper, numpy_helper

from ganforge.core import GanforgeError
from ganforge.core.card import CARD_KEY
from ganforge.export import export
from ganforge.serve import load


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    export(toy_run(folder / "run"), folder / "good.onnx")
    return folder / "good.onnx"


def refusal(path: Path) -> str:
    """The sentence with which a file is refused, without its folder."""
    with pytest.raises(GanforgeError) as caught:
        load(path, device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\0", b"\xff" * 4096, b"GIF89a", b"[" * 4096, b"\x08\x0a"])
def test_no_model_at_all(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert refusal(tmp_path / "m.onnx").startswith("m.onnx ")


def test_two_gigabytes_of_zeros_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(2**31)  # a hole: it takes no room on the disk
    assert refusal(tmp_path / "m.onnx") == "m.onnx has 2147483648 bytes, more than an ONNX model can have"


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99, 0.9999])
def test_truncated_anywhere(good: Path, tmp_path: Path, share: float) -> None:
    whole = good.read_bytes()
    (tmp_path / "m.onnx").write_bytes(whole[: int(len(whole) * share)])
    assert refusal(tmp_path / "m.onnx").startswith("m.onnx ")


def test_damaged_anywhere(good: Path, tmp_path: Path) -> None:
    """A bit turned over in a weight is another model; anywhere else it is refused. No other exception comes out."""
    whole, random = bytearray(good.read_bytes()), np.random.default_rng(0)
    refused = []
    for place in random.integers(0, len(whole), 60):
        damaged = whole.copy()
        damaged[place] ^= 1 << int(random.integers(8))
        (tmp_path / "m.onnx").write_bytes(damaged)
        try:
            load(tmp_path / "m.onnx", device="cpu").sample(1)
        except GanforgeError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in sentence for sentence in refused)


@pytest.mark.parametrize("location", ["../secret.bin", "{folder}/secret.bin", "secret.bin", "../../../../etc/passwd"])
def test_weights_in_other_files(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    model, folder = onnx.load(good), tmp_path / "models"
    folder.mkdir()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.raw_data)
    for place in (tmp_path, folder):
        (place / "secret.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location.format(folder=tmp_path))
    monkeypatch.chdir(folder)
    assert refusal(saved(model, folder)).startswith("m.onnx is not a whole ONNX model: ")


@pytest.mark.parametrize("domain", ["com.stranger", "com.microsoft", "ai.onnx.ml"])
def test_operators_of_strangers(good: Path, tmp_path: Path, domain: str) -> None:
    model = onnx.load(good)
    model.graph.node[-1].domain, model.graph.node[-1].op_type = domain, "Stranger"
    model.opset_import.add(domain=domain, version=1)
    assert refusal(saved(model, tmp_path)).startswith("m.onnx is not a whole ONNX model: ")


def card_of(model: onnx.ModelProto) -> dict[str, Any]:
    card: dict[str, Any] = json.loads({prop.key: prop.value for prop in model.metadata_props}[CARD_KEY])
    return card


def lying(good: Path, folder: Path, **changes: Any) -> Path:
    model = onnx.load(good)
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(card_of(model) | changes)})
    return saved(model, folder)


def test_no_card(good: Path, tmp_path: Path) -> None:
    model = onnx.load(good)
    del model.metadata_props[:]
    sentence = "m.onnx has no ganforge card: `ganforge export` did not write it"
    assert refusal(saved(model, tmp_path)) == sentence


SEED = {"name": "z", "role": "seed", "dtype": "float32", "width": 1}
IMAGES = {"name": "images", "dtype": "float32", "layout": "NCHW"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": {"shape": [3, 99, 8]}}, "and its card says z float32 [N, 6], images float32 [N, 3, 99, 8]"),
        ({"data": {"shape": []}}, "and its card says z float32 [N, 6], images float32 [N]"),
        ({"data": {"shape": []}, "outputs": [{**IMAGES, "layout": "NHWC"}]}, "images float32 [N]"),
        (
            {"inputs": [SEED | {"role": "label"}], "data": {"shape": [3, 8, 8]}},
            "there is an input for labels, and no classes",
        ),
        ({"inputs": [SEED | {"role": "noise", "width": 2**40}]}, "input should be less than or equal to 1048576"),
        ({"latent": {"dim": 6, "categorical": [2**30]}}, "there are codes in the latent, and no input takes them"),
        ({"outputs": []}, "has z float32 [N, 6], images float32 [N, 3, 8, 8], and its card says z float32 [N, 6]"),
        ({"outputs": [IMAGES, IMAGES]}, "and its card says z float32 [N, 6], images float32 [N, 3, 8, 8], images"),
        ({"outputs": [{**IMAGES, "dtype": "uint8"}]}, "and its card says z float32 [N, 6], images uint8 [N, 3, 8, 8]"),
        ({"inputs": []}, "and its card says images float32 [N, 3, 8, 8]"),
        ({"inputs": [SEED]}, "and its card says z float32 [N, 1]"),
        ({"inputs": [{**SEED, "width": 6}]}, "input 'z' is 6 wide, and should be 1"),
        ({"inputs": [{**SEED, "role": "truncation"}]}, "there is an input for the truncation, and no default"),
        ({"latent": {"dim": 5}}, "input 'z' is 6 wide, and should be 5"),
        ({"directions": [[1.0, 0.0]]}, "a direction is not 6 numbers"),
    ],
)
def test_a_card_that_lies(good: Path, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(lying(good, tmp_path, **changes))


def graph_that_gives(good: Path, *sizes: int | str) -> onnx.ModelProto:
    """A model with the good one's card, inputs and declared output that gives other sizes, which only show in a run."""
    whole = onnx.load(good)
    (output,) = whole.graph.output
    nodes = [
        helper.make_node("ReduceSum", ["z"], ["sum"], keepdims=0),
        helper.make_node("Shape", ["z"], ["both"]),
        helper.make_node("Slice", ["both", "nought", "one"], ["n"]),
        helper.make_node("Concat", ["n" if size == "n" else str(size) for size in sizes], ["wanted"], axis=0),
        helper.make_node("Mul", ["sum", "zero"], ["hidden"]),
        helper.make_node("Cast", ["hidden"], ["nothing"], to=TensorProto.INT64),
        helper.make_node("Add", ["wanted", "nothing"], ["sizes"]),
        helper.make_node("Expand", ["hidden", "sizes"], [output.name]),
    ]
    numbers = {"nought": 0, "one": 1, **{str(size): size for size in sizes if size != "n"}}
    weights = [numpy_helper.from_array(np.array([value], np.int64), name) for name, value in numbers.items()]
    weights.append(numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    graph = helper.make_graph(nodes, "g", whole.graph.input, [output], weights)
    model = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    model.metadata_props.extend(whole.metadata_props)
    return model


def test_the_one_sample_that_is_made_is_looked_at(good: Path, tmp_path: Path) -> None:
    assert load(saved(graph_that_gives(good, "n", 3, 8, 8), tmp_path)).sample(2).shape == (2, 8, 8, 3)
    for sizes in (("n", 3, 8, 4), (5, 3, 8, 8), ("n", 3, 1, 1)):
        given = [1 if size == "n" else size for size in sizes]
        sentence = f"m.onnx gives {given}, and its graph says [1, 3, 8, 8]"
        assert refusal(saved(graph_that_gives(good, *sizes), tmp_path)) == sentence


def test_a_graph_that_gives_another_number_of_samples_is_found_when_it_does(good: Path, tmp_path: Path) -> None:
    model = load(saved(graph_that_gives(good, 1, 3, 8, 8), tmp_path))
    with pytest.raises(GanforgeError, match=r"gives \[1, 3, 8, 8\], and its graph says \[2, 3, 8, 8\]$"):
        model.sample(2)


def huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 2**40


def negative(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -1


def circular(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


@pytest.mark.parametrize("change", [huge, negative, circular])
def test_graphs_that_cannot_be(good: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(good)
    change(model)
    assert refusal(saved(model, tmp_path)).startswith("m.onnx is not a whole ONNX model: ")


def test_a_loop_without_an_end(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.serve.model._PATIENCE", 0.5)
    model = onnx.load(good)
    endless = helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["goes_on_still"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "endless",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on_still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, None),
        ],
    )
    (last,) = (node for node in model.graph.node if model.graph.output[0].name in node.output)
    last.output[:] = ["made"]
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    name = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Loop", ["", "true", "made"], [name], body=endless))
    assert refusal(saved(model, tmp_path)) == "m.onnx makes no sample within 0.5 s"
