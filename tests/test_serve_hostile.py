"""Hostile requests, from a seed: a few always, ten thousand where there is time."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from command import ROOT
from served import serving, toy_model

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    """benchmarks/serve_fuzz.py."""
    spec = importlib.util.spec_from_file_location("serve_fuzz", ROOT / "benchmarks" / "serve_fuzz.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("requests", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_hostile_requests_cost_no_more_than_themselves(fuzz: ModuleType, tmp_path: Path, requests: int) -> None:
    model = toy_model(tmp_path, recipe="toy-labelled", kind="labelled")
    with serving(model, "--no-log", "--read-timeout", 0.2, "--max-body", 2**20) as server:
        outcome = fuzz.attack(server.port, server.process.pid, fuzz.good_model(model), requests, seed=requests)
    assert outcome.bad == []
    assert sum(outcome.answers.values()) == requests
    assert outcome.answers["400"] > requests / 4
    assert outcome.grown < 32 * 2**20
