"""A stranger's distribution: installed by pip beside ganforge, it trains and exports with no edit on our side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fresh import REPOSITORY, Fresh
from PIL import Image

EXAMPLE = REPOSITORY / "examples" / "ganforge-sine"
COPY = Path("..") / "example"  # seen from the folder in which commands run
TINY = ("--batch-size", "4", "--every", "2", "--set", "samples=4", "--set", "architecture.width=8")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """ganforge and the example, installed; the example from a copy, so that no build leaves a file in the tree."""
    folder = tmp_path_factory.mktemp("third-party")
    fresh = Fresh(folder)
    shutil.copytree(EXAMPLE, folder / "example", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    fresh.pip("install", COPY)
    return fresh


@pytest.fixture(scope="module")
def run(stranger: Fresh) -> str:
    """A run of the stranger's recipe, four rounds long."""
    stranger.ganforge("train", "sine", "--data", "digits", "--steps", "4", *TINY, "--out", "runs/sine")
    return "runs/sine"


def test_everything_of_ours_and_theirs_is_the_installed_one(stranger: Fresh) -> None:
    code = "import ganforge.core as c, ganforge.cli as l, ganforge_sine as s; print(*(m.__file__ for m in (c, l, s)))"
    files = stranger.done("python", "-c", code).split()
    assert len(files) == 3
    assert all(file.startswith(str(stranger.programs.parent)) for file in files)


def test_the_recipe_is_listed_with_its_distribution(stranger: Fresh) -> None:
    recipes = {row["name"]: row for row in json.loads(stranger.ganforge("recipes", "list", "--json"))}
    assert recipes["sine"]["plugin"] == "sine"
    assert "dcgan" in recipes
    plugins = {row["name"]: row for row in json.loads(stranger.ganforge("plugins", "list", "--json"))}
    assert plugins["sine"]["distribution"] == "ganforge-sine 0.1.0"
    assert plugins["sine"]["offers"] == {"architecture": ["sine"], "recipe": ["sine"]}
    assert {row["problem"] for row in plugins.values()} == {""}


@pytest.fixture(scope="module")
def model(stranger: Fresh, run: str) -> str:
    stranger.ganforge("export", run, "-o", "sine.onnx")
    return "sine.onnx"


def test_it_trains_exports_and_samples(stranger: Fresh, run: str, model: str) -> None:
    for source, picture in ((model, "file.png"), (run, "run.png")):
        stranger.ganforge("sample", source, "--n", "4", "--seed", "1", "-o", picture)
    file, live = (np.asarray(Image.open(stranger.work / name)).astype(int) for name in ("file.png", "run.png"))
    assert np.ptp(file) > 0
    assert np.abs(file - live).max() <= 1  # onnxruntime and torch may round a grey value apart


def test_the_file_needs_neither_the_plugin_nor_torch(stranger: Fresh, model: str) -> None:
    code = (
        f"import sys; from ganforge.serve import load; m = load('{model}'); m.sample(2); print(m.card.plugin);"
        "assert not {'torch', 'ganforge_sine'} & sys.modules.keys()"
    )
    assert stranger.done("python", "-c", code) == "sine (ganforge-sine 0.1.0)\n"


def test_its_own_tests_pass(stranger: Fresh) -> None:
    tests = COPY / "tests"
    stranger.done("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests)


@pytest.mark.parametrize("switch", ["all", "sine"])
def test_switched_off_it_is_gone_and_ours_stays(stranger: Fresh, switch: str) -> None:
    shown = stranger.ganforge("recipes", "list", "--json", GANFORGE_DISABLE_PLUGINS=switch)
    names = [row["name"] for row in json.loads(shown)]
    assert "sine" not in names
    assert "dcgan" in names


def test_a_run_names_the_distribution_it_misses(stranger: Fresh, run: str) -> None:
    stranger.pip("uninstall", "--yes", "ganforge-sine")
    try:
        finished = stranger.run(stranger.programs / "ganforge", "resume", run)
    finally:
        stranger.pip("install", COPY)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr == (
        "error: runs/sine needs the recipe 'sine' of ganforge-sine 0.1.0, which is not installed here\n"
    )
