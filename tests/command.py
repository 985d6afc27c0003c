"""Running the command line in a test: in this process, or in another where signals and pipes matter."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import tiny

from ganforge.cli.main import main
from ganforge.core import registry

ROOT = Path(__file__).parent.parent
TINY = ("--plugin", str(tiny.FILE))
TRAIN_TINY = (
    *("train", "tiny", "--data", "tiny-pictures", "--batch-size", "4", "--log-every", "1", "--every", "2"),
    *("--device", "cpu", "--threads", "1", "--set", "samples=4", "--set", "observers=[]", *TINY),
)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def ganforge(*arguments: object) -> Outcome:
    """Run a command here; plugins that happen to be installed stay out unless a test lets them in."""
    out, err = io.StringIO(), io.StringIO()
    disabled = os.environ.get("GANFORGE_DISABLE_PLUGINS", "all")
    with (
        patch.object(registry, "_default", None),
        patch.dict(os.environ, {"GANFORGE_DISABLE_PLUGINS": disabled}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> Outcome:
    """Run a command that must succeed."""
    outcome = ganforge(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def refused(*arguments: object, code: int = 2) -> str:
    """Run a command that must fail with one sentence and nothing else; returns the sentence."""
    outcome = ganforge(*arguments)
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    return outcome.err.removeprefix("error: ").removesuffix("\n")


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own, from the same source tree as this one."""
    paths = [str(ROOT / root) for root in ("core", "plugins", "export", "serve", "cli", "tests")]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "GANFORGE_DISABLE_PLUGINS": "all",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "ganforge.cli", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, env=env, text=True, **options)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str], patience: float = 120) -> None:
    """Wait until something has happened; a process that ends before, or never gets there, fails the test."""
    for _ in range(int(patience / 0.01)):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    raise AssertionError("it never happened")
