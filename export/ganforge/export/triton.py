"""A Triton model repository around an exported file: what a server of many machines needs beside it."""

from __future__ import annotations

import json
from pathlib import Path

from ganforge.core.card import Card
from ganforge.core.errors import GanforgeError
from ganforge.core.files import atomic_directory, sync
from ganforge.serve import load

MAX_BATCH = 64
_TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64", "uint8": "TYPE_UINT8"}


def check_repository(directory: Path, name: str) -> Path:
    """Where a model of this name goes.

    Raises:
        GanforgeError: there is one, which may hold versions of somebody's.
    """
    folder = directory / name
    if directory.exists() and not directory.is_dir():
        raise GanforgeError(f"{directory} is a file; a model repository is a directory")
    if folder.exists():
        raise GanforgeError(f"{folder} exists already: remove it, or give the exported file another name")
    return folder


def write_repository(file: str | Path, directory: str | Path) -> Path:
    """Write DIR/NAME/{config.pbtxt, labels.txt, 1/model.onnx}, all of it or nothing; NAME is the file's.

    Returns:
        DIR/NAME.

    Raises:
        GanforgeError: not an exported file, a model of that name is there, or it cannot be written.
    """
    file = Path(file)
    card = load(file, device="cpu").card
    folder = check_repository(Path(directory), file.stem)
    with atomic_directory(folder) as temporary:
        (temporary / "1").mkdir()
        (temporary / "1" / "model.onnx").write_bytes(file.read_bytes())
        (temporary / "config.pbtxt").write_text(configuration(card, file.stem), encoding="utf-8")
        if card.labelled:
            (temporary / "labels.txt").write_text(_labels(card), encoding="utf-8")
        sync(temporary / "1" / "model.onnx")
    return folder


def configuration(card: Card, name: str) -> str:
    """The model's config.pbtxt: batches of whatever waits, and no waiting for more."""
    comments = [f'# "{one.name}" is {one.default} where it changes nothing.' for one in card.inputs if one.default]
    lines = [
        *comments,
        f"name: {_quoted(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {MAX_BATCH}",
        *(f"input {_tensor(one.name, one.dtype, one.sizes)}" for one in card.inputs),
        *(f"output {_tensor(one.name, one.dtype, card.sizes(one))}" for one in card.outputs),
        "dynamic_batching { max_queue_delay_microseconds: 0 }",
    ]
    if card.labelled:
        # Not an output's label_filename: no output is a row of class scores.
        lines.append('parameters { key: "labels" value { string_value: "labels.txt" } }')
    return "\n".join(lines) + "\n"


def _tensor(name: str, dtype: str, sizes: tuple[int, ...]) -> str:
    dims = ", ".join(map(str, sizes))
    return f"{{ name: {_quoted(name)} data_type: {_TYPES[dtype]} dims: [ {dims} ] }}"


def _labels(card: Card) -> str:
    """A class a line, from label 0 on."""
    return "".join(" ".join(name.split()) + "\n" for name in card.data.classes)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
