"""Less than fp32: half the bytes for GPUs that compute in fp16, a quarter for CPUs that multiply int8."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ganforge.core.card import Card
from ganforge.core.latents import picture_seeds
from ganforge.export.graph import Frozen, strip
from ganforge.export.passes import fold_batch_norms, shuffle_transposed

CALIBRATION = 256
"""Samples that show how far each layer's numbers reach; their seed is none that a proof or a score uses."""
CALIBRATION_SEED = -1


def halved(frozen: Frozen) -> Frozen:
    """The network in fp16, between latents and samples in fp32."""
    half = copy.deepcopy(frozen).half()
    half.dtype = torch.float16
    for layer in half.modules():
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_pre_hook(_to_half)
    return half


def _to_half(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a network makes in fp32 on its way, such as one-hot labels, joins the rest."""
    return tuple(one.half() if isinstance(one, Tensor) and one.is_floating_point() else one for one in inputs)


def quantised(model: onnx.ModelProto, card: Card) -> onnx.ModelProto:
    """The graph with int8 weights for each channel and uint8 maps, their ranges those of its own samples.

    Transposed convolutions, which onnxruntime computes in fp32 only, become ordinary ones; upsampling stays, since
    int8's nine taps cost no more than four and a shuffle. Weights keep to seven bits:
    older CPUs add two products of eight in 16 bits, where they would overflow unseen.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # type: ignore[import-untyped]

    whole = copy.deepcopy(model)
    fold_batch_norms(whole)
    shuffle_transposed(whole)
    # Says that its own passes need not run first: ours have, and it would complain on stderr.
    onnx.helper.set_model_props(whole, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            whole,
            path,
            _samples(card),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        small = onnx.load_model(path)
    strip(small)
    del small.graph.value_info[:]
    small.producer_name, small.producer_version = model.producer_name, model.producer_version
    return small


def _samples(card: Card) -> object:
    """What calibration runs on, as onnxruntime wants to be given it."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self, feeds: Iterator[dict[str, np.ndarray]]) -> None:
            self.feeds = feeds

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    return Reader(_feeds(card))


def _feeds(card: Card, batch: int = 16) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, CALIBRATION, batch):
        seeds = picture_seeds(CALIBRATION_SEED, batch, start=start)
        labels = np.arange(start, start + batch) % max(1, len(card.data.classes))
        yield card.feed_seeds(seeds, labels if card.labelled else None)
