"""Shared fixtures. The suite runs on an installed ganforge and on a bare clone alike."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from ganforge.core.registry import Registry, set_default_registry
from ganforge.plugins.builtin import BUILTIN


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Every built-in plugin, installed or not, and no stranger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANFORGE_DISABLE_PLUGINS", "all")
        loaded = Registry(fallback=BUILTIN)
    set_default_registry(loaded)
    return loaded


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """A test and what is built for it draw the same random numbers, whichever tests the process has run before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
