"""Tensors of the Open Inference Protocol: as JSON lists, or as bytes behind the JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ganforge.core.card import ANY, Card, Input
from ganforge.core.errors import nearest
from ganforge.serve.errors import Refused
from ganforge.serve.http import parse_object

DATATYPES = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
"""What the protocol calls numpy's types."""

LATENTS = ("z", "codes", "noise")
MAX_JSON_VALUES = 2**20
"""Numbers an answer may spell out: writing more would keep every other client waiting for seconds."""

MOST = 2**31
"""Samples, and pixels of a side. No body holds so many, and Python refuses to write out what is much larger."""


class Asked(NamedTuple):
    """An inference request, checked against the card."""

    id: str
    feed: dict[str, np.ndarray]
    n: int
    binary: bool
    """Whether the output goes back as bytes."""
    seconds: float | None
    """How long the client will wait."""


def parse(body: bytes, header_length: str, card: Card) -> Asked:
    """The request in a body, of which `header_length` bytes (all, if empty) are JSON.

    Raises:
        Refused: anything that is not what the model takes, in one sentence.
    """
    header, rest = _split(body, header_length)
    request = parse_object(header)
    parameters = _object(request.get("parameters", {}), "parameters")
    if parameters.get("sequence_id"):
        raise Refused(400, "sequences are not offered; each request stands for itself")
    inputs = _objects(request.get("inputs"), "inputs")
    feed = _feed(inputs, rest, card)
    n = len(next(iter(feed.values())))
    identity = request.get("id", "")
    if not isinstance(identity, str) or len(identity) > 200:
        raise Refused(400, "id must be a text of at most 200 characters")
    return Asked(identity, feed, n, _binary(request, parameters, card), _seconds(parameters))


def answer(name: str, version: str, asked: Asked, output: np.ndarray, card: Card) -> tuple[bytes, int | None]:
    """The body that carries an output, and how many bytes of it are JSON where bytes follow.

    Raises:
        Refused: as JSON it would be too long, or holds what JSON has no word for.
    """
    tensor: dict[str, Any] = {
        "name": card.outputs[0].name,
        "datatype": DATATYPES[card.outputs[0].dtype],
        "shape": list(output.shape),
    }
    whole = {"model_name": name, "model_version": version, "outputs": [tensor]}
    if asked.id:
        whole["id"] = asked.id
    if not asked.binary:
        tensor["data"] = _spelt_out(output)
        return json.dumps(whole, separators=(",", ":")).encode(), None
    data = np.ascontiguousarray(output).data.cast("B")
    tensor["parameters"] = {"binary_data_size": len(data)}
    header = json.dumps(whole, separators=(",", ":")).encode()
    return b"".join([header, data]), len(header)


def _split(body: bytes, header_length: str) -> tuple[memoryview, memoryview]:
    view = memoryview(body)
    if not header_length:
        return view, view[:0]
    # Python turns no more than some thousand digits into a number, zeros in front among them.
    digits = header_length.isascii() and header_length.isdecimal() and len(header_length) <= 20
    if not digits or int(header_length) > len(body):
        raise Refused(400, f"Inference-Header-Content-Length must be a number up to the {len(body)} bytes of the body")
    return view[: int(header_length)], view[int(header_length) :]


def _feed(inputs: Sequence[Mapping[str, Any]], rest: memoryview, card: Card) -> dict[str, np.ndarray]:
    known = {one.name: one for one in card.inputs}
    given: dict[str, np.ndarray] = {}
    for item in inputs:
        name = item.get("name")
        if not isinstance(name, str) or name not in known:
            raise Refused(400, f"unknown input '{str(name)[:40]}'{nearest(str(name)[:40], known)}")
        if name in given:
            raise Refused(400, f"input '{name}' is given twice")
        given[name], rest = _tensor(item, known[name], rest)
        _check(given[name], known[name], card)
    if len(rest):
        raise Refused(400, f"{len(rest)} bytes follow the last input, and nothing says what they are")
    if len({len(array) for array in given.values()}) != 1:
        raise Refused(400, "all inputs must be given, and be of as many samples")
    n = len(next(iter(given.values())))
    return {name: given[name] if name in given else _usual(one, n) for name, one in known.items()}


def _tensor(item: Mapping[str, Any], one: Input, rest: memoryview) -> tuple[np.ndarray, memoryview]:
    """The array [n, width] of one input, or [n, C, H, W] of an image, and the bytes that belong to the next."""
    datatype = DATATYPES[one.dtype]
    if item.get("datatype") != datatype:
        raise Refused(400, f"input '{one.name}' must be {datatype}, not {str(item.get('datatype'))[:40]}")
    shape = _shape(item.get("shape"), one)
    parameters = _object(item.get("parameters", {}), f"parameters of input '{one.name}'")
    if any(name.startswith("shared_memory") for name in parameters):
        raise Refused(400, "shared memory is not offered; send the data")
    if (size := parameters.get("binary_data_size")) is None:
        return _from_list(item.get("data"), shape, one), rest
    wanted = math.prod(shape) * np.dtype(one.dtype).itemsize
    if isinstance(size, bool) or size != wanted or "data" in item:
        raise Refused(
            400, f"input '{one.name}' of {shape[0]} samples has {wanted} bytes, and binary_data_size must say so"
        )
    if len(rest) < wanted:
        raise Refused(400, f"input '{one.name}' has {wanted} bytes, and {len(rest)} are there")
    little = np.dtype(one.dtype).newbyteorder("<")
    array = np.frombuffer(rest[:wanted], dtype=little).reshape(shape).astype(one.dtype, copy=False)
    return array, rest[wanted:]


def _shape(shape: object, one: Input) -> list[int]:
    good = (
        isinstance(shape, list)
        and len(shape) == 1 + len(one.sizes)
        and all(type(size) is int and size < MOST for size in shape)
    )
    if not good or shape[0] < 1 or not all(map(partial(_agrees, one), shape[1:], one.sizes)):  # type: ignore[index]
        sizes, sides = str(one.width), ""
        if one.role == "image":
            sizes, sides = f"{one.width}, H, W", f" with H and W multiples of {one.multiple} from {one.least}"
        given = json.dumps(shape)[:60]
        raise Refused(400, f"input '{one.name}' must have the shape [N, {sizes}]{sides}, not {given}")
    return shape  # type: ignore[return-value]


def _agrees(one: Input, size: int, wanted: int) -> bool:
    return size >= one.least and size % one.multiple == 0 if wanted == ANY else size == wanted


def _from_list(data: object, shape: Sequence[int], one: Input) -> np.ndarray:
    """Numbers in a list, flat or nested: no texts, no truth values, nothing that rounding would change."""
    kinds, wide = ({int, float}, np.float64) if one.dtype == "float32" else ({int}, np.int64)
    try:
        # First: numpy would make every element of the data as long as the longest text among them.
        array = np.array(data, dtype=wide) if isinstance(data, list) and _types(data) <= kinds else None
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            array = array.astype(one.dtype) if array is not None and array.size == math.prod(shape) else None
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        array = None
    if array is None:
        what = "numbers" if one.dtype == "float32" else "whole numbers"
        raise Refused(400, f"the data of input '{one.name}' must be a list of {math.prod(shape)} {what}")
    return array.reshape(shape)


def _types(data: list[Any]) -> set[type]:
    """The types of what nested lists hold, beside lists."""
    found: set[type] = set()
    level = [data]
    while level:
        found |= set(map(type, chain.from_iterable(level)))
        level = [item for item in chain.from_iterable(level) if type(item) is list] if list in found else []
        found.discard(list)
    return found


def _check(array: np.ndarray, one: Input, card: Card) -> None:
    """A class that does not exist would silently be another one in the graph: -1 is the last."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Refused(400, f"input '{one.name}' holds what is no number")
    low, high = _range(one, card)
    if (low is not None and (array < low).any()) or (high is not None and (array > high).any()):
        ends = f"from {low:g}" if high is None else f"up to {high:g}" if low is None else f"from {low:g} to {high:g}"
        raise Refused(400, f"input '{one.name}' goes {ends}")


def _range(one: Input, card: Card) -> tuple[float | None, float | None]:
    """Where an input must lie. What a card says of latents is where samples lie; a network may be asked further out."""
    if one.role == "label":
        return 0, len(card.data.classes) - 1
    return (None, None) if one.role in LATENTS else (one.low, one.high)


def _usual(one: Input, n: int) -> np.ndarray:
    if one.default is None:
        raise Refused(400, f"input '{one.name}' is missing")
    return np.full((n, one.width), one.default, dtype=one.dtype)


def _binary(request: Mapping[str, Any], parameters: Mapping[str, Any], card: Card) -> bool:
    """Whether the output is wanted as bytes; `outputs`, where given, may name only what there is."""
    binary = parameters.get("binary_data_output", False)
    for item in _objects(request.get("outputs", []), "outputs"):
        known = [one.name for one in card.outputs]
        if item.get("name") not in known:
            wanted = str(item.get("name"))[:40]
            raise Refused(400, f"unknown output '{wanted}'{nearest(wanted, known)}")
        own = _object(item.get("parameters", {}), "parameters of an output")
        if own.keys() - {"binary_data"}:
            raise Refused(400, "an output takes the parameter binary_data and no other")
        binary = own.get("binary_data", binary)
    if not isinstance(binary, bool):
        raise Refused(400, "binary_data and binary_data_output must be true or false")
    return binary


def _seconds(parameters: Mapping[str, Any]) -> float | None:
    """The client's own deadline, which the protocol gives in microseconds."""
    if (timeout := parameters.get("timeout")) is None:
        return None
    if type(timeout) is not int or not 0 < timeout < 2**53:
        raise Refused(400, "timeout must be a whole number of microseconds above 0")
    return timeout / 1e6


def _spelt_out(output: np.ndarray) -> list[float]:
    if output.size > MAX_JSON_VALUES:
        raise Refused(400, f"{output.size} numbers are too many for JSON; ask for binary data, or for fewer samples")
    if output.dtype.kind == "f" and not np.isfinite(output).all():
        raise Refused(400, "the output is not finite, which JSON cannot say; ask for binary data")
    values: list[float] = output.ravel().tolist()
    return values


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refused(400, f"{what} must be a JSON object")
    return value


def _objects(value: object, what: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(400, f"{what} must be a list of JSON objects")
    if len(value) > 64:
        raise Refused(400, f"{what} are too many")
    return value
