"""What every plugin should show: it starts light, refuses in words, resumes exactly, and exports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ganforge.core import GanforgeError, Record, RunObserver, resume, train
from ganforge.export import export


def request(**changes: Any) -> dict[str, Any]:
    """A training of a second."""
    return {
        "recipe": "sine",
        "data": "digits",
        "architecture": {"width": 8},
        "batch_size": 4,
        "steps": 4,
        "every": 2,
        "log_every": 1,
        "samples": 4,
        "observers": [],
        "machine": {"device": "cpu", "threads": 1},
        **changes,
    }


class Crash(RunObserver):
    """Ends the training in round 3, after the checkpoint of round 2."""

    def step_logged(self, record: Record) -> None:
        if record["round"] == 3:
            raise RuntimeError("crash")


def test_the_module_with_the_hooks_imports_no_torch() -> None:
    code = "import sys, ganforge_sine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_points_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match="'sine' builds images, not points with 2 coordinates"):
        train(request(data="ring"), tmp_path / "run")


@pytest.mark.parametrize("resolution", [8, 13])
def test_images_of_any_size(tmp_path: Path, resolution: int) -> None:
    data = {"name": "digits", "resolution": resolution}
    samples = train(request(data=data, steps=1), tmp_path / "run").sample(3)
    assert samples.shape == (3, 1, resolution, resolution)


def test_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = train(request(), tmp_path / "whole")
    with pytest.raises(RuntimeError, match="crash"):
        train(request(), tmp_path / "parts", observers=[Crash()])
    parts = resume(tmp_path / "parts")
    expected, found = whole.game.state_dict(), parts.game.state_dict()
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_its_export_is_proved(tmp_path: Path) -> None:
    card = export(train(request(), tmp_path / "run"), tmp_path / "sine.onnx")
    assert card.architecture == "sine"
    assert card.parity is not None
    assert card.parity.max_difference <= card.parity.tolerance
