"""`export --triton`: a model repository as Triton's own protobuf reads it, whole or not there."""

from __future__ import annotations

import importlib.util
from importlib.metadata import files
from pathlib import Path
from types import ModuleType

import pytest
from command import TINY, done, refused
from export_toys import CLASSES, dcgan_run, toy_run

from ganforge.core import GanforgeError
from ganforge.export import export, triton, write_repository
from ganforge.serve import load

pytest.importorskip("tritonclient", reason="pip install tritonclient")
from google.protobuf import text_format


@pytest.fixture(scope="module")
def protobuf() -> ModuleType:
    """Triton's `model_config_pb2`, without the gRPC client around it."""
    path = next(path for path in files("tritonclient") or () if path.match("grpc/model_config_pb2.py")).locate()
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton")
    run = toy_run(folder / "run", "labelled", recipe="toy-labelled")
    export(run, folder / "owls.onnx", inputs="seed", pixels="uint8")
    return folder / "owls.onnx"


def parsed(protobuf: ModuleType, folder: Path) -> object:
    return text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), protobuf.ModelConfig())


def tensors(described: object) -> list[tuple[str, int, list[int]]]:
    return [(one.name, one.data_type, list(one.dims)) for one in described]  # type: ignore[attr-defined]


def test_triton_reads_what_was_written(protobuf: ModuleType, labelled: Path, tmp_path: Path) -> None:
    folder = write_repository(labelled, tmp_path / "models")
    assert folder == tmp_path / "models" / "owls"
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written == ["1/model.onnx", "config.pbtxt", "labels.txt"]
    assert (folder / "1" / "model.onnx").read_bytes() == labelled.read_bytes()
    assert (folder / "labels.txt").read_text().split("\n") == [*CLASSES, ""]
    config = parsed(protobuf, folder)
    assert (config.name, config.backend, config.max_batch_size) == ("owls", "onnxruntime", 64)
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert config.parameters["labels"].string_value == "labels.txt"
    assert tensors(config.input) == [
        ("seed", protobuf.TYPE_INT64, [1]),
        ("truncation", protobuf.TYPE_FP32, [1]),
        ("label", protobuf.TYPE_INT64, [1]),
    ]
    assert tensors(config.output) == [("images", protobuf.TYPE_UINT8, [8, 8, 3])]
    assert '# "truncation" is 7.0 where it changes nothing.' in (folder / "config.pbtxt").read_text()


def test_the_default_form_and_points(protobuf: ModuleType, tmp_path: Path) -> None:
    export(dcgan_run(tmp_path / "run"), tmp_path / "m.onnx")
    config = parsed(protobuf, write_repository(tmp_path / "m.onnx", tmp_path / "models"))
    assert tensors(config.input) == [("z", protobuf.TYPE_FP32, [100])]
    assert tensors(config.output) == [("images", protobuf.TYPE_FP32, [3, 16, 16])]
    assert not (tmp_path / "models" / "m" / "labels.txt").exists()
    export(toy_run(tmp_path / "points", data="toy-points", architecture="toy"), tmp_path / "p.onnx")
    config = parsed(protobuf, write_repository(tmp_path / "p.onnx", tmp_path / "models"))
    assert tensors(config.output) == [("points", protobuf.TYPE_FP32, [2])]
    assert load(tmp_path / "models" / "p" / "1" / "model.onnx").sample(3).shape == (3, 2)


def test_odd_names(protobuf: ModuleType, labelled: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'my "ö" \\ model.onnx'
    odd.write_bytes(labelled.read_bytes())
    assert parsed(protobuf, write_repository(odd, tmp_path / "models")).name == odd.stem


def test_what_is_there_stays(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "owls" / "7").mkdir(parents=True)
    with pytest.raises(GanforgeError, match=r"owls exists already: remove it, or give the exported file another name$"):
        write_repository(labelled, tmp_path)
    assert [path.name for path in (tmp_path / "owls").iterdir()] == ["7"]
    with pytest.raises(GanforgeError, match=r"is a file; a model repository is a directory$"):
        write_repository(labelled, labelled)
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(GanforgeError, match="not a whole ONNX model"):
        write_repository(tmp_path / "no.onnx", tmp_path)


def test_a_failure_leaves_nothing(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(triton, "configuration", full)
    with pytest.raises(GanforgeError, match=r"^could not write .*owls: No space left on device$"):
        write_repository(labelled, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from command import TRAIN_TINY

    folder = tmp_path_factory.mktemp("tiny") / "run"
    done(*TRAIN_TINY, "--steps", "2", "--out", folder)
    return folder


def test_the_command_writes_both_and_names_the_model_as_the_file(tiny_run: Path, tmp_path: Path) -> None:
    given = ("export", tiny_run, "-o", tmp_path / "eight.onnx", "--triton", tmp_path / "models", *TINY)
    outcome = done(*given)
    assert f"triton   tritonserver --model-repository {tmp_path / 'models'}\n" in outcome.out
    assert (tmp_path / "models/eight/1/model.onnx").read_bytes() == (tmp_path / "eight.onnx").read_bytes()
    before = (tmp_path / "eight.onnx").stat().st_mtime_ns
    assert "exists already" in refused(*given)
    assert (tmp_path / "eight.onnx").stat().st_mtime_ns == before, "refused before anything was done"
