"""A machine that only runs exported files: it has no torch, and gives the same pictures."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from export_toys import dcgan_run
from PIL import Image

from ganforge.core.pictures import grid
from ganforge.export import export
from ganforge.serve import load

REPOSITORY = Path(__file__).parent.parent

SAMPLE = """
import importlib.util, sys
import numpy as np
from ganforge.serve import load
np.save(sys.argv[2], load(sys.argv[1]).sample(6, seed=3))
print([name for name in ("torch", "onnx") if importlib.util.find_spec(name)])
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The stdout of a command that must succeed, run without this process's Python settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GANFORGE"))}
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment with `ganforge[cpu,serve]` in it."""
    folder = tmp_path_factory.mktemp("production")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    quiet = ("--quiet", "--disable-pip-version-check")
    run(programs / "python", "-m", "pip", "install", *quiet, f"{REPOSITORY}[cpu,serve]", cwd=folder)
    return programs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    export(dcgan_run(folder / "run"), folder / "model.onnx")
    return folder / "model.onnx"


def test_the_same_pictures_without_torch(production: Path, model: Path, tmp_path: Path) -> None:
    found = run(production / "python", "-c", SAMPLE, model, tmp_path / "samples.npy", cwd=tmp_path)
    assert found == "[]\n"
    samples = np.load(tmp_path / "samples.npy", allow_pickle=False)
    assert samples.shape == (6, 16, 16, 3)
    # Another build of onnxruntime may round the last bit differently: one level, and rarely.
    difference = np.abs(samples.astype(int) - load(model, device="cpu").sample(6, seed=3))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_the_command_line_samples_without_torch(production: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    run(production / "ganforge", "sample", model, "--n", "4", "--seed", "1", "-o", out, cwd=tmp_path)
    picture = np.asarray(Image.open(out)).astype(int)
    expected = grid(load(model, device="cpu").sample(4, seed=1))
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 1


def test_it_serves_without_torch(production: Path, model: Path, tmp_path: Path) -> None:
    command = [production / "ganforge", "serve", model, "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = next(line.split()[1] for line in process.stdout if line.startswith("open "))
        with urllib.request.urlopen(f"{address}images?n=4&seed=1") as answer:
            picture = np.asarray(Image.open(io.BytesIO(answer.read()))).astype(int)
        with urllib.request.urlopen(address) as answer:
            assert b"<title>ganforge</title>" in answer.read()
        process.terminate()
        assert process.wait(60) == 0
    assert np.abs(picture - grid(load(model, device="cpu").sample(4, seed=1))).max() <= 1
