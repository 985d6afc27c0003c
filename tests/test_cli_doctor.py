"""`ganforge doctor`: what it finds, what is missing, and what it calls broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import done, ganforge

from ganforge.cli import doctor


def pretend(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Only these packages are installed, in version 9."""
    monkeypatch.setattr(doctor, "installed", lambda name: "9" if name in names else None)


def test_what_is_installed_here() -> None:
    found = json.loads(ganforge("doctor", "--json").out)
    torch, onnxruntime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    assert torch.__version__.startswith(found["versions"]["torch"])  # which may leave out +cpu or +cu130
    assert found["providers"] == onnxruntime.get_available_providers()
    assert found["devices"][0].startswith(f"cpu: {torch.get_num_threads()} threads of ")
    assert found["missing"]["train"] == []


def test_a_machine_that_only_runs_files_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "onnxruntime")
    monkeypatch.setattr(doctor, "providers", lambda: ["CPUExecutionProvider"])
    text = done("doctor").out
    assert "cannot train: not installed: torch, torchvision, safetensors, tensorboard\n" in text
    assert "cannot export a run: not installed: torch, safetensors, onnx, onnxscript\n" in text
    assert "cannot evaluate: not installed: torch, safetensors, torchmetrics, " in text
    assert "can sample from a file\n" in text
    assert "cannot serve files: not installed: uvicorn, httptools\n" in text
    assert "onnxruntime built for  CPUExecutionProvider\n" in text


def test_a_machine_with_nothing_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    text = done("doctor").out
    assert "cannot sample from a file: not installed: onnxruntime or onnxruntime-gpu\n" in text


def test_both_onnxruntimes_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "onnxruntime_gpu"):
        information = tmp_path / f"{name}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    outcome = ganforge("doctor")
    assert outcome.code == 1
    assert outcome.out.splitlines()[-1] == (
        "problem: onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: "
        "pip uninstall both, then install one"
    )


def test_a_package_that_does_not_import_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise ImportError("libcudart.so.13: cannot open shared object file")

    pretend(monkeypatch, *doctor.PACKAGES[:-1])
    monkeypatch.setattr(doctor, "devices", fail)
    outcome = ganforge("doctor", "--json")
    assert outcome.code == 1
    (problem,) = json.loads(outcome.out)["problems"]
    assert problem == (
        "torch is installed but does not work: ImportError: libcudart.so.13: cannot open shared object file"
    )
