"""Passes over a traced graph: they change what it costs and not what it computes, but for the order of sums."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper


def optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy after the passes that make a graph of floats faster."""
    faster = copy.deepcopy(model)
    fold_batch_norms(faster)
    fuse_upsampling(faster)
    return faster


def fold_batch_norms(model: onnx.ModelProto) -> None:
    """Multiply a batch norm into the linear layer that is reshaped to its maps.

    The exporter folds one that follows a layer directly. One that follows a sum, as in a residual block whose sum is
    used twice, has no weights to go into and stays.
    """
    graph = Graph(model)
    for norm in graph.nodes("BatchNormalization"):
        reshape = graph.maker(norm.input[0], "Reshape")
        gemm = reshape and graph.maker(reshape.input[0], "Gemm")
        if gemm and reshape and graph.private(norm.input[0], reshape.input[0]) and _folds(graph, gemm, reshape, norm):
            _fold(graph, gemm, norm)
            graph.replace(norm.output[0], norm.input[0])
            graph.remove(norm)
    graph.tidy()


def _folds(graph: Graph, gemm: NodeProto, reshape: NodeProto, norm: NodeProto) -> bool:
    """Whether the maps [N, C, h, w] are the layer's numbers in their order: C blocks of h × w."""
    channels, sizes = len(graph.weight(norm.input[1])), graph.constant(reshape.input[1])
    plain = _attribute(gemm, "alpha", 1.0) == _attribute(gemm, "beta", 1.0) == 1.0
    return plain and graph.constant(gemm.input[1]) is not None and sizes is not None and sizes[1] == channels


def _fold(graph: Graph, gemm: NodeProto, norm: NodeProto) -> None:
    gamma, beta, mean, variance = (graph.weight(name) for name in norm.input[1:5])
    scale = gamma / np.sqrt(variance + _attribute(norm, "epsilon", 1e-5))
    weight = graph.weight(gemm.input[1])
    outputs_first = bool(_attribute(gemm, "transB", 0))
    width = weight.shape[0 if outputs_first else 1]
    scales, shifts = (values.repeat(width // len(scale)) for values in (scale, beta - mean * scale))
    bias = graph.weight(gemm.input[2]) if len(gemm.input) > 2 else np.zeros(width)
    weight = weight * (scales[:, None] if outputs_first else scales)
    dtype = graph.dtype(gemm.input[1])
    gemm.input[1] = graph.add("folded_weight", weight, dtype)
    del gemm.input[2:]
    gemm.input.append(graph.add("folded_bias", bias * scales + shifts, dtype))


def fuse_upsampling(model: onnx.ModelProto) -> None:
    """Make nearest upsampling and the convolution after it one transposed convolution: four taps of nine at ×2, k3."""
    graph = Graph(model)
    for conv in graph.nodes("Conv"):
        resize = graph.maker(conv.input[0], "Resize")
        scale = resize and _nearest_scale(graph, resize)
        if resize and scale and graph.private(conv.input[0]) and _plain(graph, conv):
            graph.put(conv, _fused(graph, conv, resize.input[0], scale))
            graph.remove(resize)
    graph.tidy()


def _fused(graph: Graph, conv: NodeProto, source: str, scale: int) -> NodeProto:
    """Each pixel of the small map meets each tap `scale` times per axis: those taps are summed beforehand."""
    weight = graph.weight(conv.input[1])
    outputs, inputs, side, _ = weight.shape
    kernel = np.zeros((inputs, outputs, side + scale - 1, side + scale - 1))
    turned = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    for row, column in np.ndindex(scale, scale):
        kernel[:, :, row : row + side, column : column + side] += turned
    names = [source, graph.add("fused_weight", kernel, graph.dtype(conv.input[1])), *conv.input[2:]]
    pads = [side - 1 - pad for pad in _attribute(conv, "pads", [0] * 4)]
    size = list(kernel.shape[2:])
    return helper.make_node(
        "ConvTranspose", names, conv.output, name=conv.name, kernel_shape=size, strides=[scale] * 2, pads=pads
    )


def _nearest_scale(graph: Graph, resize: NodeProto) -> int | None:
    """By how much each map is repeated, where that is all that happens."""
    scales = graph.constant(resize.input[2]) if len(resize.input) == 3 else None
    rules = {
        "mode": b"nearest",
        "coordinate_transformation_mode": b"asymmetric",
        "nearest_mode": b"floor",
    }
    if scales is None or any(_attribute(resize, name, None) != rule for name, rule in rules.items()):
        return None
    batch, channels, down, right = scales.tolist()
    return int(down) if batch == channels == 1 and down == right == int(down) > 1 else None


def _plain(graph: Graph, conv: NodeProto) -> bool:
    """A square kernel larger than 1 (a 1×1 is cheaper before), padded by less than itself, no steps, one group."""
    weight = graph.constant(conv.input[1])
    if weight is None or weight.ndim != 4:
        return False
    height, width = weight.shape[2:]
    ones = all(set(_attribute(conv, name, [1])) == {1} for name in ("strides", "dilations"))
    near = max(_attribute(conv, "pads", [0])) < height
    unpadded = _attribute(conv, "auto_pad", b"NOTSET") == b"NOTSET"
    return height == width > 1 and ones and near and unpadded and _attribute(conv, "group", 1) == 1


def shuffle_transposed(model: onnx.ModelProto) -> None:
    """Make transposed convolutions ordinary ones whose channels become pixels: the same products, and int8 kernels.

    Output pixel `stride · t + r` sees every `stride`-th tap from the r-th on, so a stride's pixels are channels of
    one convolution over the small map. What padding cuts off is cut off afterwards.
    """
    graph = Graph(model)
    for node in graph.nodes("ConvTranspose"):
        if _shuffles(graph, node):
            graph.put(node, *_shuffled(graph, node))
    graph.tidy()


def _shuffles(graph: Graph, node: NodeProto) -> bool:
    weight = graph.constant(node.input[1])
    strides = _attribute(node, "strides", [1, 1])
    plain = set(_attribute(node, "dilations", [1])) == {1} and _attribute(node, "group", 1) == 1
    square = weight is not None and weight.ndim == 4 and weight.shape[2] == weight.shape[3]
    whole = "output_shape" not in [one.name for one in node.attribute]
    return square and plain and whole and strides[0] == strides[1] > 1 and min(_cuts(graph, node)) >= 0


def _cuts(graph: Graph, node: NodeProto) -> list[int]:
    """How many pixels the shuffled maps have too many: at the top, left, bottom and right."""
    side, stride = graph.weight(node.input[1]).shape[2], _attribute(node, "strides", [1])[0]
    top, left, bottom, right = _attribute(node, "pads", [0] * 4)
    more = _attribute(node, "output_padding", [0, 0])
    spare = -side % stride
    return [top, left, bottom + spare - more[0], right + spare - more[1]]


def _shuffled(graph: Graph, node: NodeProto) -> list[NodeProto]:
    weight, stride = graph.weight(node.input[1]), _attribute(node, "strides", [1])[0]
    inputs, outputs, side, _ = weight.shape
    taps = -(-side // stride)
    whole = np.zeros((inputs, outputs, taps * stride, taps * stride))
    whole[:, :, :side, :side] = weight
    split = whole.reshape(inputs, outputs, taps, stride, taps, stride)[:, :, ::-1, :, ::-1]
    kernel = split.transpose(1, 3, 5, 0, 2, 4).reshape(-1, inputs, taps, taps)
    dtype = graph.dtype(node.input[1])
    names = [node.input[0], graph.add("shuffled_weight", kernel, dtype)]
    if len(node.input) > 2:
        names.append(graph.add("shuffled_bias", graph.weight(node.input[2]).repeat(stride**2), dtype))
    channels, pixels = graph.name("channels"), graph.name("pixels")
    conv = helper.make_node("Conv", names, [channels], kernel_shape=[taps] * 2, pads=[taps - 1] * 4)
    shuffle = helper.make_node("DepthToSpace", [channels], [pixels], blocksize=stride, mode="CRD")
    top, left, bottom, right = _cuts(graph, node)
    ends = [-bottom or np.iinfo(np.int64).max, -right or np.iinfo(np.int64).max]
    window = [graph.add("window", np.array(one), np.int64) for one in ([top, left], ends, [2, 3])]
    return [conv, shuffle, helper.make_node("Slice", [pixels, *window], node.output)]


class Graph:
    """A graph that is being changed: small enough to be searched anew for every question."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph

    def nodes(self, kind: str) -> list[NodeProto]:
        return [node for node in self.graph.node if node.op_type == kind]

    def maker(self, value: str, kind: str) -> NodeProto | None:
        """The node of this kind that makes a value, if one does."""
        return next((node for node in self.nodes(kind) if value in node.output), None)

    def private(self, *values: str) -> bool:
        """Whether each of these is used once, and by a node."""
        used = _used(self.graph)
        return all(used.count(value) == 1 for value in values)

    def constant(self, name: str) -> np.ndarray | None:
        """The weight or constant of this name."""
        for tensor in self.graph.initializer:
            if tensor.name == name:
                return numpy_helper.to_array(tensor)
        return None

    def weight(self, name: str) -> np.ndarray:
        """A weight that is known to be one, in float64: what is made of it is rounded once."""
        found = self.constant(name)
        assert found is not None, name
        return found.astype(np.float64)

    def dtype(self, name: str) -> Any:
        found = self.constant(name)
        assert found is not None, name
        return found.dtype

    def name(self, stem: str) -> str:
        """A name of this kind that is still free."""
        taken = {tensor.name for tensor in self.graph.initializer}
        taken |= {name for node in self.graph.node for name in node.output}
        return next(f"{stem}_{i}" for i in range(len(taken) + 1) if f"{stem}_{i}" not in taken)

    def add(self, stem: str, values: np.ndarray, dtype: Any) -> str:
        """A new weight; returns its name."""
        name = self.name(stem)
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name))
        return name

    def put(self, old: NodeProto, *new: NodeProto) -> None:
        """Nodes in the place of another."""
        place = list(self.graph.node).index(old)
        self.graph.node.remove(old)
        for offset, node in enumerate(new):
            self.graph.node.insert(place + offset, node)

    def replace(self, old: str, new: str) -> None:
        """Let the users of one value use another."""
        for node in self.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]

    def remove(self, node: NodeProto) -> None:
        self.graph.node.remove(node)

    def tidy(self) -> None:
        """Drop the weights nobody uses any more, and what was noted of values that are gone."""
        used = set(_used(self.graph))
        unused = [tensor for tensor in self.graph.initializer if tensor.name not in used]
        for tensor in unused:
            self.graph.initializer.remove(tensor)
        del self.graph.value_info[:]


def _used(graph: onnx.GraphProto) -> list[str]:
    """Every use of a value, by the graph's nodes, by those of the graphs in them, and as an output."""
    inner = [one.g for node in graph.node for one in node.attribute if one.type == onnx.AttributeProto.GRAPH]
    own = [name for node in graph.node for name in node.input] + [one.name for one in graph.output]
    return own + [name for one in inner for name in _used(one)]


def _attribute(node: NodeProto, name: str, otherwise: Any) -> Any:
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), otherwise)
