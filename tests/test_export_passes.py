"""Passes over the graph: the same numbers, for every architecture and on their own, and what they leave."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch.nn.modules.batchnorm import _BatchNorm

from ganforge.core import Run
from ganforge.core.card import Card
from ganforge.core.config import resolve
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export.exporter import _card
from ganforge.export.form import Form
from ganforge.export.graph import freeze, trace
from ganforge.export.passes import Graph, _attribute, fold_batch_norms, fuse_upsampling, optimised, shuffle_transposed

SMALL = {
    "vanilla": {},
    "dcgan": {"architecture.width": 8},
    "cdcgan": {"architecture.width": 8},
    "cgan": {},
    "sngan-resnet": {"architecture.generator_width": 8},
    "projection-gan": {"architecture.generator_width": 8},
    "sagan": {"architecture.width": 8},
    "biggan": {"architecture.width": 4},
    "began": {"architecture.width": 8},
    "ebgan": {},
    "r3gan": {},
    "progan": {"architecture.width": 8},
    "stylegan": {"architecture.width": 8},
    "stylegan2": {"architecture.width": 8},
    "fastgan": {"architecture.width": 4},
    "cyclegan": {"architecture.width": 8},
    "pix2pix": {"architecture.width": 8},
    "srgan": {"architecture.width": 8},
}
"""A recipe for each architecture and each way of labels into a generator, small where it can be."""
LEFT = {"sngan-resnet": 3, "projection-gan": 3, "sagan": 3, "biggan": 3}
"""Batch norms that follow a residual block's sum, or the first maps where a shortcut uses them too."""


def request_of(registry: Registry, recipe: str) -> dict[str, Any]:
    """A recipe on data that it takes."""
    alone = registry.find("recipe", recipe).takes == "samples"
    return {"recipe": recipe, "data": {"name": "digits" if alone else "negatives", "resolution": 16}}


def untrained(registry: Registry, recipe: str) -> Run:
    """A run as if it had been trained: its batch norms have statistics that matter."""
    request = request_of(registry, recipe)
    for key, value in SMALL[recipe].items():
        part, name = key.split(".")
        request[part] = {name: value}
    config, data = resolve(request, registry)
    run = Run(Path("no run"), config, data.spec, data.fingerprint, registry)
    run.game = build_game(config, data.spec, registry)
    random = torch.Generator().manual_seed(0)
    for module in run.game.ema.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.3, generator=random)
            module.running_var.uniform_(0.5, 2, generator=random)
    return run


def images(card: Card) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).uniform(-1, 1, card.example(3)["image"].shape)
    return card.feed_images(noise)


def outputs(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, feed)[0]
    return found


@pytest.mark.parametrize("recipe", SMALL)
def test_every_architecture_gives_the_same_faster(registry: Registry, recipe: str) -> None:
    run = untrained(registry, recipe)
    name, wanted = next(iter(run.game.exports().items()))
    card = _card(run, name, wanted, Form())
    plain = trace(freeze(run.game.ema[wanted.network]), card)
    fast, shuffled = optimised(plain), copy.deepcopy(plain)
    shuffle_transposed(shuffled)
    feed = (
        card.feed_seeds(np.arange(3), np.arange(3) if card.labelled else None) if card.image is None else images(card)
    )
    expected = outputs(plain, feed)
    for other in (fast, shuffled):
        np.testing.assert_allclose(outputs(other, feed), expected, atol=2e-5)
    operators = Counter(node.op_type for node in fast.graph.node)
    assert operators["BatchNormalization"] == LEFT.get(recipe, 0)
    left = [node for node in shuffled.graph.node if node.op_type == "ConvTranspose"]
    stays = [_attribute(node, "group", 1) > 1 or set(_attribute(node, "strides", [1])) == {1} for node in left]
    assert all(stays), "only a filter of each channel by itself, and what enlarges nothing"
    graph = Graph(fast)
    for conv in graph.nodes("Conv"):
        resize = graph.maker(conv.input[0], "Resize")
        assert resize is None or not graph.private(conv.input[0]) or graph.weight(conv.input[1]).shape[2] == 1


def test_every_architecture_is_here(registry: Registry) -> None:
    def kinds(recipes: Iterable[str]) -> set[tuple[str, str]]:
        configs = [resolve(request_of(registry, recipe), registry)[0] for recipe in recipes]
        return {(config.architecture.name, config.generator.conditioning.name) for config in configs}

    assert kinds(registry.all("recipe")) == kinds(SMALL)


def model_of(nodes: list[onnx.NodeProto], shape: list[Any], out: int, **weights: np.ndarray) -> onnx.ModelProto:
    """x float32 `shape` through nodes to y, of `out` dimensions."""
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * out)
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def upsampled(scale: int, side: int, pad: int, **conv: Any) -> onnx.ModelProto:
    rules = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["up"], **rules),
        helper.make_node("Conv", ["up", "w", "b"], ["y"], pads=[pad] * 4, **conv),
    ]
    scales = np.array([1, 1, scale, scale], np.float32)
    return model_of(nodes, ["n", 3, 5, 4], 4, scales=scales, w=random(2, 3, side, side), b=random(2))


@pytest.mark.parametrize(("scale", "side", "pad"), [(2, 3, 1), (2, 3, 0), (2, 3, 2), (2, 5, 2), (3, 3, 1), (4, 2, 0)])
def test_upsampling_is_fused_at_every_size(scale: int, side: int, pad: int) -> None:
    model = upsampled(scale, side, pad)
    expected = outputs(model, {"x": random(2, 3, 5, 4)})
    fuse_upsampling(model)
    assert [node.op_type for node in model.graph.node] == ["ConvTranspose"]
    np.testing.assert_allclose(outputs(model, {"x": random(2, 3, 5, 4)}), expected, atol=1e-5)
    assert sorted(tensor.name for tensor in model.graph.initializer) == ["b", "fused_weight_0"]


@pytest.mark.parametrize("change", [{"strides": [2, 2]}, {"dilations": [2, 2]}, {"side": 1, "pad": 0}, {"pad": 3}])
def test_what_is_not_exact_or_not_faster_stays(change: dict[str, Any]) -> None:
    model = upsampled(**{"scale": 2, "side": 3, "pad": 1, **change})
    before = model.SerializeToString()
    fuse_upsampling(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize(
    ("side", "stride", "pads", "extra"),
    [
        (4, 2, [1, 1, 1, 1], 0),
        (5, 2, [2, 2, 2, 2], 1),
        (3, 2, [1, 1, 1, 1], 1),
        (6, 3, [0, 1, 2, 1], 0),
        (2, 2, [0] * 4, 0),
    ],
)
def test_transposed_convolutions_are_shuffled_at_every_size(
    side: int, stride: int, pads: list[int], extra: int
) -> None:
    rules = {"strides": [stride] * 2, "pads": pads, "output_padding": [extra] * 2}
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **rules)
    model = model_of([node], ["n", 3, 5, 4], 4, w=random(3, 2, side, side), b=random(2))
    expected = outputs(model, {"x": random(2, 3, 5, 4)})
    shuffle_transposed(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "DepthToSpace", "Slice"]
    np.testing.assert_allclose(outputs(model, {"x": random(2, 3, 5, 4)}), expected, atol=1e-5)


def normalised(*, shared: bool, transposed: bool) -> onnx.ModelProto:
    """A Gemm to 2 maps of 3×3, a batch norm of them and, if `shared`, the maps themselves on top."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["flat"], transB=int(transposed)),
        helper.make_node("Reshape", ["flat", "maps_shape"], ["maps"]),
        helper.make_node("BatchNormalization", ["maps", "gamma", "beta", "mean", "var"], ["norm"], epsilon=0.1),
        helper.make_node("Add", ["norm", "maps" if shared else "norm"], ["y"]),
    ]
    weights = {name: random(2) for name in ("gamma", "beta", "mean")} | {"var": np.array([0.5, 2], np.float32)}
    weights |= {"w": random(*((18, 4) if transposed else (4, 18))), "maps_shape": np.array([-1, 2, 3, 3])}
    return model_of(nodes, ["n", 4], 4, **weights)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_batch_norm_goes_through_the_reshape_into_the_layer(transposed: bool) -> None:
    model = normalised(shared=False, transposed=transposed)
    expected = outputs(model, {"x": random(5, 4)})
    fold_batch_norms(model)
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Reshape", "Add"]
    np.testing.assert_allclose(outputs(model, {"x": random(5, 4)}), expected, atol=1e-5)


def test_maps_that_are_used_as_they_are_keep_their_batch_norm() -> None:
    model = normalised(shared=True, transposed=True)
    fold_batch_norms(model)
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Reshape", "BatchNormalization", "Add"]
