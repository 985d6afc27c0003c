"""What only looks around never loads torch, nor anything else that takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from command import ROOT

HEAVY = (
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "safetensors",
    "tensorboard",
    "sklearn",
    "scipy",
)
PROBE = f"""
import sys, runpy
try:
    {{what}}
except SystemExit as end:
    assert not end.code, end.code
print(",".join(sorted(set({HEAVY!r}) & set(sys.modules))))
"""
CLI = "from ganforge.cli.main import main; sys.exit(main({arguments!r}))"


def loaded(what: str) -> str:
    """The last line a fresh interpreter prints: which heavy modules `what` brought in."""
    paths = [str(ROOT / root) for root in ("core", "plugins", "export", "serve", "cli")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GANFORGE_DISABLE_PLUGINS": "all"}
    command = [sys.executable, "-c", PROBE.format(what=what)]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["compare", "--help"],
        ["serve", "--help"],
        ["translate", "--help"],
        ["plugins", "list"],
        ["recipes", "list"],
        ["recipes", "show", "dcgan"],
        ["datasets", "list", "--json"],
    ],
    ids=" ".join,
)
def test_commands_that_look_around(arguments: list[str]) -> None:
    assert loaded(CLI.format(arguments=arguments)) == ""


@pytest.mark.parametrize(
    "module",
    ["ganforge.core", "ganforge.core.registry", "ganforge.serve", "ganforge.serve.server", "ganforge.cli.main"],
)
def test_imports(module: str) -> None:
    assert loaded(f"import {module}") == ""


def test_the_probe_sees_torch() -> None:
    assert "torch" in loaded("import ganforge.core.run").split(",")
