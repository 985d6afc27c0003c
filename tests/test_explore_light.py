"""Where a file suffices, the commands around a generator never load torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import TINY, done
from explored import LABELLED, make
from test_light import CLI, loaded


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    done("export", make(folder, **LABELLED), "-o", folder / "m.onnx", *TINY)
    return folder / "m.onnx"


@pytest.mark.parametrize(
    "arguments",
    [
        ("interpolate", "--seeds", "1,2", "--label", "1"),
        ("arithmetic", "--plus", "1,2", "--minus", "3"),
        ("directions", "-k", "2"),
        ("augment", "--per-class", "2"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_file_suffices(file: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    out = tmp_path / ("folder" if arguments[0] == "augment" else "out.png")
    asked = [arguments[0], str(file), *arguments[1:], "--out", str(out)]
    assert loaded(CLI.format(arguments=asked)) == "onnxruntime"
    assert out.exists()


@pytest.mark.parametrize("command", ["interpolate", "arithmetic", "directions", "neighbours", "invert", "augment"])
def test_help_loads_nothing(command: str) -> None:
    assert loaded(CLI.format(arguments=[command, "--help"])) == ""
