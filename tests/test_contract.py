"""Every recipe's promises at tiny size, and that a check can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from command import ganforge
from scipy.stats import energy_distance as scipy_energy

from ganforge.cli.contract import conditioning, recipe, table
from ganforge.cli.contract.recipe import HOLDS, PROMISES, Outcome
from ganforge.core.config import resolve
from ganforge.core.errors import Interrupted
from ganforge.core.game import Effect
from ganforge.core.registry import Registry, default_registry
from ganforge.core.run import build_game
from ganforge.plugins.builtin import BUILTIN

DATA = {"name": "digits", "resolution": 16}
RECIPES = sorted(default_registry().all("recipe"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(fallback=BUILTIN)


@pytest.fixture(autouse=True)
def _no_learning(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Learning takes minutes over all recipes: slow tests try it."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(recipe, "PROMISES", {k: v for k, v in PROMISES.items() if k != "learns"})


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_keeps_its_promises(registry: Registry, tmp_path: Path, name: str) -> None:
    outcomes = recipe.check(name, registry, tmp_path, DATA)
    # What follows another run exports nothing of its own, and says so; of all others everything is asked.
    exempt = "exempt" if registry.find("recipe", name).follows else None
    assert {k: v for k, v in outcomes.items() if v != HOLDS and v.state != exempt} == {}
    assert outcomes["finite"] == HOLDS


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_labels_or_says_why_not(registry: Registry, name: str) -> None:
    cells = list(conditioning.check(name, registry, DATA))
    assert [cell for cell in cells if cell[2].state == "fails"] == []
    assert all(outcome.words for *_, outcome in cells if outcome.state == "exempt")
    holding = {(g, d) for g, d, outcome in cells if outcome == HOLDS}
    assert ("concat", "concat") in holding or not holding & {("none", "none")} or translates(name, registry)


def translates(name: str, registry: Registry) -> bool:
    config, data = resolve(recipe.request(name, registry, DATA), registry)
    return build_game(config, data.spec, registry).translates


def test_two_processes_train_what_one_does(registry: Registry, tmp_path: Path) -> None:
    alike = recipe.two_processes(RECIPES, registry, tmp_path, DATA)
    assert {name: outcome for name, outcome in alike.items() if outcome.state == "fails"} == {}
    assert any(outcome == HOLDS for outcome in alike.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_learns(registry: Registry, tmp_path: Path, name: str) -> None:
    assert recipe.check(name, registry, tmp_path, DATA)["learns"] == HOLDS


def test_energy_distance_is_that_of_the_library() -> None:
    random = np.random.default_rng(0)
    one, two = random.normal(size=50), random.normal(1, 2, size=70)
    ours = recipe.energy_distance(one[:, None], two[:, None])
    assert ours == pytest.approx(scipy_energy(one, two) ** 2)  # scipy gives the root of it


def test_what_couples_the_batch_is_found() -> None:
    coupled = Effect()
    coupled.couples_batch = "pairs of samples"
    parts = [torch.nn.BatchNorm1d(2), torch.nn.Dropout(), coupled, torch.nn.Linear(1, 1)]
    words = recipe.couplings(torch.nn.ModuleList(parts))
    assert words == ["batch norm: statistics of each process", "dropout: drawn by each process", "pairs of samples"]


def test_a_recipe_that_cannot_train_fails_everything(tmp_path: Path) -> None:
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    found = recipe.check("tiny", registry, tmp_path, {"name": "nowhere"})
    assert all(outcome.state == "fails" and outcome.words for outcome in found.values())


BROKEN = """
from ganforge.core import Loss, Reading, Recipe, hookimpl

def build(options):
    from ganforge.core.game import LossModule
    class Broken(LossModule):
        def discriminator(self, duel):
            raise RuntimeError("shapes do not fit\\nat all")
    return Broken()

def settings(options, data):
    return {"architecture": "tiny", "loss": "broken", "latent": {"dim": 3}}

@hookimpl
def ganforge_losses():
    return [Loss(name="broken", summary="", build=build, reading=Reading("D(x)"))]

@hookimpl
def ganforge_recipes():
    return [
        Recipe(name="broken", summary="", settings=settings),
        Recipe(name="later", summary="", settings=settings, follows="broken"),
    ]
"""


def test_what_a_plugins_loss_raises_is_the_finding_of_its_recipes_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    registry = Registry(files=[tiny.FILE, tmp_path / "broken.py"], fallback=BUILTIN)
    data, fails = {"name": "tiny-pictures"}, Outcome("fails", "RuntimeError: shapes do not fit")
    assert recipe.check("broken", registry, tmp_path / "check", data) == dict.fromkeys(recipe.PROMISES, fails)
    found = recipe.two_processes(["broken", "later", "tiny"], registry, tmp_path, data)
    assert found == {"broken": fails, "later": fails, "tiny": HOLDS}


@pytest.mark.parametrize("at", ["train", "promise"])
def test_an_interruption_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    def stopped(*given: object, **named: object) -> None:
        raise Interrupted("stopped")

    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    if at == "train":
        monkeypatch.setattr(recipe, "train", stopped)
    monkeypatch.setitem(recipe.PROMISES, "finite", stopped)
    with pytest.raises(Interrupted):
        recipe.check("tiny", registry, tmp_path, {"name": "tiny-pictures"})


def test_state_outside_the_game_fails_the_resume(tmp_path: Path) -> None:
    """A trick that counts in a Python number is what the promise is there to find."""
    plugin = tmp_path / "counting.py"
    plugin.write_text(
        "from ganforge.core import Regularizer, hookimpl\n"
        "def build(options):\n"
        "    from ganforge.core.game import Effect\n"
        "    class Counting(Effect):\n"
        "        roles, moves = frozenset({'generator'}), 0\n"
        "        def penalty(self, duel):\n"
        "            return duel.on_fake.logits.mean() * self.moves\n"
        "        def after_step(self, step):\n"
        "            self.moves += 1\n"
        "    return Counting()\n"
        "@hookimpl\n"
        "def ganforge_regularizers():\n"
        "    return [Regularizer(name='counting', summary='counts in Python', build=build)]\n"
    )
    registry = Registry(files=[tiny.FILE, plugin], fallback=BUILTIN)
    settings = recipe.request("tiny", registry, {"name": "tiny-pictures"}, regularizers={"counting": True})
    run = recipe.train(settings, tmp_path / "run", registry=registry)
    trial = recipe.Trial("tiny", registry, tmp_path, settings, run)
    assert recipe.resumes(trial).words.startswith("differs after a resume")
    assert recipe.finite(trial) == HOLDS


def test_a_cell_is_a_mark_or_a_reason() -> None:
    row = {
        "a": HOLDS,
        "b": Outcome("exempt", "no labels"),
        "c": Outcome("fails", "broken"),
        "d": Outcome("fails", "broken"),
    }
    lines = table.promises({"my-gan": row}, ["a", "b", "c", "d"])
    assert lines[2] == "| `my-gan` | ✓ | [1] | ✗ [2] | ✗ [2] |"
    assert lines[4:] == ["1. no labels", "2. broken"]


def test_the_command_checks_one_recipe_and_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "two_processes", lambda names, *rest: dict.fromkeys(names, HOLDS))
    page = tmp_path / "contract.md"
    done = ganforge("plugins", "check", "vanilla", "--markdown", str(page))
    assert done.code == 0, done
    assert "| `vanilla` | ✓ |" in page.read_text()
    assert ganforge("plugins", "check", "vanila").code == 2
