"""A real tritonserver over what `export --triton` writes: the same bytes in, the same picture out as `ganforge serve`.

The wheel nvidia-pytriton carries a tritonserver whose only backend is Python, so that one line of the configuration is
changed and a model file is put beside ours, which gives onnxruntime what Triton took. GANFORGE_TRITON names an
interpreter that has the wheel, made from the system's Python, whose library that backend wants:

    /usr/bin/python3 -m venv triton && triton/bin/pip install nvidia-pytriton onnxruntime
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from export_toys import toy_run
from served import free_port, serving

from ganforge.export import export, write_repository

PYTHON = os.environ.get("GANFORGE_TRITON")
pytestmark = pytest.mark.skipif(PYTHON is None, reason="GANFORGE_TRITON names no interpreter with nvidia-pytriton")
client = pytest.importorskip("tritonclient.http")

FORMS: dict[str, dict[str, Any]] = {
    "latents": {},
    "seeds": {"inputs": "seed", "pixels": "uint8"},
    "int8": {"inputs": "seed", "pixels": "uint8", "precision": "int8", "force": True},
}
MODEL = """
import os
import sys
sys.path[:0] = PACKAGES  # the backend ignores PYTHONPATH
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [triton.InferenceResponse([self.run(request)]) for request in requests]

    def run(self, request):
        names = [one.name for one in self.session.get_inputs()]
        feed = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        return triton.Tensor(self.session.get_outputs()[0].name, self.session.run(None, feed)[0])
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    run = toy_run(folder / "run", "labelled", recipe="toy-labelled")
    for name, form in FORMS.items():
        export(run, folder / f"{name}.onnx", **form)
    return [folder / f"{name}.onnx" for name in FORMS]


class Wheel(NamedTuple):
    """Where an interpreter has nvidia-pytriton."""

    path: list[str]
    """Where that interpreter looks for packages."""
    packages: Path
    version: str
    """The interpreter's, as in 3.11."""

    @property
    def server(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"


def wheel() -> Wheel:
    where = "import json, pytriton, sys; print(json.dumps([sys.path, pytriton.__path__[0], sys.version_info[:2]]))"
    said = subprocess.run([str(PYTHON), "-c", where], capture_output=True, text=True, check=True)
    path, package, version = json.loads(said.stdout)
    return Wheel([one for one in path if "-packages" in one], Path(package).parent, ".".join(map(str, version)))


def repository(files: list[Path], folder: Path, packages: list[str]) -> Path:
    """What `export --triton` writes, for the backend that is there."""
    for file in files:
        model = write_repository(file, folder)
        config = (model / "config.pbtxt").read_text(encoding="utf-8")
        assert config.count('backend: "onnxruntime"') == 1
        (model / "config.pbtxt").write_text(config.replace('backend: "onnxruntime"', 'backend: "python"'))
        (model / "1" / "model.py").write_text(MODEL.replace("PACKAGES", repr(packages)))
    return folder


@contextmanager
def tritonserver(wheel: Wheel, models: Path, folder: Path) -> Iterator[int]:
    """The wheel's server over a model repository; its port."""
    backends = shutil.copytree(wheel.server / "backends", folder / "backends")
    for stub in (wheel.server / "python_backend_stubs" / wheel.version).iterdir():
        shutil.copy(stub, backends / "python")
    port = free_port()
    command = [wheel.server / "bin" / "tritonserver", "--model-repository", models, "--backend-directory", backends]
    options = f"--http-address 127.0.0.1 --http-port {port} --allow-grpc false --allow-metrics false".split()
    environment = {**os.environ, "LD_LIBRARY_PATH": str(wheel.packages / "nvidia_pytriton.libs")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/v2/health/ready", process, folder / "log")
        yield port
    finally:
        process.terminate()
        process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text(errors="replace")[-3000:])


def asked(port: int, model: str, feed: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, Any]]:
    """A stock client's binary request; the pictures, and how the model describes itself."""
    types = {"float32": "FP32", "int64": "INT64"}
    with client.InferenceServerClient(f"127.0.0.1:{port}") as server:
        inputs = []
        for name, array in feed.items():
            inputs.append(client.InferInput(name, list(array.shape), types[str(array.dtype)]))
            inputs[-1].set_data_from_numpy(array)
        return server.infer(model, inputs).as_numpy("images"), server.get_model_metadata(model)


def test_the_same_picture_as_ours(files: list[Path], tmp_path: Path) -> None:
    n, random = 5, np.random.default_rng(0)
    given = {
        "z": random.normal(size=(n, 6)).astype(np.float32),
        "seed": random.integers(2**62, size=(n, 1)),
        "truncation": np.full((n, 1), 0.7, np.float32),
        "label": np.arange(n)[:, None] % 3,
    }
    found = wheel()
    models = repository(files, tmp_path / "models", found.path)
    with tritonserver(found, models, tmp_path) as theirs, serving(*files) as ours:
        for file in files:
            described = asked(ours.port, file.stem, _feed(ours.port, file.stem, given))
            other = asked(theirs, file.stem, _feed(ours.port, file.stem, given))
            np.testing.assert_array_equal(other[0], described[0])
            assert len(np.unique(other[0][:, :1])) > 1
            assert [(one["name"], one["datatype"], one["shape"]) for one in other[1]["inputs"]] == [
                (one["name"], one["datatype"], one["shape"]) for one in described[1]["inputs"]
            ]


def _feed(port: int, model: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with client.InferenceServerClient(f"127.0.0.1:{port}") as server:
        return {one["name"]: given[one["name"]] for one in server.get_model_metadata(model)["inputs"]}
