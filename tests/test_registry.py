"""Plugins are found, and every way in which one can be wrong is said in a sentence that names it."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import tiny

from ganforge.core import GanforgeError
from ganforge.core import registry as registry_module
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

ROOT = Path(__file__).parent.parent


class Distribution:
    """What importlib.metadata gives for an installed stranger."""

    name, version = "stranger-gan", "2.0"


def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, source: str, entry_name: str = "") -> None:
    """Make a module and pretend a distribution declares it as an entry point, by default of the same name."""
    monkeypatch.delenv("GANFORGE_DISABLE_PLUGINS", raising=False)
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    entry = EntryPoint(entry_name or name.replace("_", "-"), name, "ganforge")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry])
    monkeypatch.setattr(EntryPoint, "dist", Distribution(), raising=False)


def write(path: Path, source: str) -> Path:
    path.write_text(source)
    return path


GOOD = """
from ganforge.core import Recipe, hookimpl

@hookimpl
def ganforge_recipes():
    return [Recipe(name="strange", summary="", settings=lambda options, data: {})]
"""


def test_the_fallback_list_is_the_one_in_pyproject() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["ganforge"]
    assert declared == BUILTIN


def test_every_builtin_loads(registry: Registry) -> None:
    assert [plugin for plugin in registry.plugins if plugin.problem] == []
    assert {plugin.name for plugin in registry.plugins} == set(BUILTIN)


def test_a_stranger_is_found_and_owned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD)
    registry = Registry()
    assert registry.find("recipe", "strange").name == "strange"
    assert str(registry.owner("recipe", "strange")) == "plugin 'strange-gan' (from stranger-gan 2.0)"


def test_a_module_is_registered_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD)
    entries = [EntryPoint(name, "strange_gan", "ganforge") for name in ("one", "two")]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: entries)
    registry = Registry()
    assert registry.owner("recipe", "strange").name == "one"
    assert [plugin.problem for plugin in registry.plugins] == [
        "",
        "plugin 'one' (from stranger-gan 2.0) is the same module",
    ]


@pytest.mark.parametrize("switch", ["1", "all", "strange-gan", "other, strange-gan"])
def test_strangers_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, switch: str) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD)
    monkeypatch.setenv("GANFORGE_DISABLE_PLUGINS", switch)
    registry = Registry(fallback={"dcgan": BUILTIN["dcgan"]})
    assert list(registry.all("recipe")) == ["dcgan"]
    (off,) = [plugin for plugin in registry.plugins if plugin.problem]
    assert (off.name, off.problem) == ("strange-gan", "switched off by GANFORGE_DISABLE_PLUGINS")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise RuntimeError('out of luck')", "RuntimeError: out of luck"),
        (GOOD.replace("return [", "return 1 / 0; ["), "ZeroDivisionError: division by zero"),
    ],
    ids=["import", "raise", "hook"],
)
def test_a_broken_plugin_is_reported_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, reason: str
) -> None:
    install(monkeypatch, tmp_path, "strange_gan", source)
    registry = Registry(fallback={"dcgan": BUILTIN["dcgan"]})
    (broken,) = [plugin for plugin in registry.plugins if plugin.problem]
    assert (broken.name, broken.distribution, broken.problem) == ("strange-gan", "stranger-gan 2.0", reason)
    assert "dcgan" in registry.all("recipe")
    with pytest.raises(
        GanforgeError, match=r"unknown recipe 'strange'.*'strange-gan' .from stranger-gan 2.0. failed to load"
    ):
        registry.find("recipe", "strange")


WRONG = """
from ganforge.core import Loss, Reading, Recipe, hookimpl

recipe = Recipe(name="strange", summary="", settings=lambda options, data: {})
nameless = Loss(name=None, summary="", build=lambda options: None, reading=Reading("D"))

@hookimpl
def ganforge_losses():
    return RETURNED
"""


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("[Loss]", ", but the class Loss is in it"),
        ("[recipe]", ", but an object of type Recipe is in it"),
        ("['hinge']", ", but an object of type str is in it"),
        ("[nameless]", ", but the name of one is None"),
        ("nameless", ", not an object of type Loss"),
        ("Loss", ", not the class Loss"),
        ("None", ", not an object of type NoneType"),
    ],
)
def test_a_hook_that_returns_something_else_is_a_broken_plugin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, returned: str, reason: str
) -> None:
    install(monkeypatch, tmp_path, "strange_gan", WRONG.replace("RETURNED", returned))
    registry = Registry(fallback={"dcgan": BUILTIN["dcgan"]})
    (broken,) = [plugin for plugin in registry.plugins if plugin.problem]
    assert broken.name == "strange-gan"
    assert broken.problem == f"TypeError: ganforge_losses must return a list of Loss specs{reason}"
    assert None not in registry.all("loss")
    assert list(registry.all("recipe")) == ["dcgan"]


@pytest.mark.parametrize("hook", ["ganforge_metrics()", "ganforge_commands(app)"])
def test_a_broken_plugin_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hook: str) -> None:
    """What it offered before the hook that raises is taken back."""
    install(monkeypatch, tmp_path, "strange_gan", f"{GOOD}\n@hookimpl\ndef {hook}:\n    return 1 / 0\n")
    registry = Registry(fallback={"dcgan": BUILTIN["dcgan"]})
    registry.add_commands(None)
    (broken,) = [plugin for plugin in registry.plugins if plugin.problem]
    assert broken.problem == "ZeroDivisionError: division by zero"
    assert list(registry.all("recipe")) == ["dcgan"]


def test_a_broken_plugin_is_asked_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also not for the same hook, which a plugin may implement twice."""
    second = '@hookimpl(specname="ganforge_recipes")\ndef {}():\n    return 1 / 0\n'
    install(monkeypatch, tmp_path, "strange_gan", "\n".join([GOOD, second.format("a"), second.format("z")]))
    registry = Registry(fallback={"dcgan": BUILTIN["dcgan"]})
    assert [plugin.problem for plugin in registry.plugins if plugin.problem] == ["ZeroDivisionError: division by zero"]
    assert list(registry.all("recipe")) == ["dcgan"]


def test_a_clash_of_names_names_both_owners(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD.replace("strange", "dcgan"))
    with pytest.raises(GanforgeError) as error:
        Registry(fallback={"dcgan": BUILTIN["dcgan"]})
    assert str(error.value) == (
        "two plugins register the recipe 'dcgan': plugin 'strange-gan' (from stranger-gan 2.0) and plugin 'dcgan' "
        "(from ganforge source tree); rename one, or switch one off with GANFORGE_DISABLE_PLUGINS=strange-gan"
    )
    monkeypatch.setenv("GANFORGE_DISABLE_PLUGINS", "strange-gan")
    assert Registry(fallback={"dcgan": BUILTIN["dcgan"]}).owner("recipe", "dcgan").name == "dcgan"


def test_what_cannot_be_switched_off_must_be_renamed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [])
    file = write(tmp_path / "mine.py", GOOD.replace("strange", "dcgan"))
    with pytest.raises(GanforgeError) as error:
        Registry([file], fallback={"dcgan": BUILTIN["dcgan"]})
    assert f"plugin 'mine' (from {file})" in str(error.value)
    assert str(error.value).endswith("; rename one")
    twin = write(tmp_path / "twin.py", GOOD.replace("strange", "dcgan"))
    with pytest.raises(GanforgeError, match=r"; rename one$"):
        Registry([file, twin])


def test_a_file_and_a_stranger_with_one_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD)
    file = write(tmp_path / "mine.py", GOOD)
    with pytest.raises(GanforgeError, match=r"switch one off with GANFORGE_DISABLE_PLUGINS=strange-gan$"):
        Registry([file])
    monkeypatch.setenv("GANFORGE_DISABLE_PLUGINS", "strange-gan")
    assert Registry([file]).owner("recipe", "strange").name == "mine"


@pytest.mark.parametrize("name", ["ganforge_recipies", "recipes"])
def test_a_misspelt_hook_is_an_error_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD.replace("ganforge_recipes", name))
    with pytest.raises(GanforgeError) as error:
        Registry()
    assert f"unknown hook '{name}' in plugin 'strange-gan' (from stranger-gan 2.0)" in str(error.value)
    assert "did you mean 'ganforge_recipes'" in str(error.value)


def test_a_hook_with_a_wrong_argument_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD.replace("recipes()", "recipes(what)"))
    with pytest.raises(GanforgeError, match=r"'strange-gan' .from stranger-gan 2.0. cannot be registered"):
        Registry()


def test_a_single_file_is_a_plugin(tmp_path: Path) -> None:
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    assert registry.owner("recipe", "tiny").distribution == str(tiny.FILE)
    with pytest.raises(GanforgeError, match=r"no plugin file .*missing\.py"):
        Registry(files=[tmp_path / "missing.py"])
    (tmp_path / "bad.py").write_text("x = = 1")
    with pytest.raises(GanforgeError, match=r"bad\.py failed to import: SyntaxError"):
        Registry(files=[tmp_path / "bad.py"])


def test_a_file_may_be_called_like_a_plugin(tmp_path: Path) -> None:
    """Or like another file; and the same one may be named twice."""
    (tmp_path / "other").mkdir()
    first = write(tmp_path / "dcgan.py", GOOD)
    second = write(tmp_path / "other" / "dcgan.py", GOOD.replace("strange", "stranger"))
    registry = Registry([first, second, first], fallback=BUILTIN)
    owners = [registry.owner("recipe", name) for name in ("dcgan", "strange", "stranger")]
    assert [owner.name for owner in owners] == ["dcgan"] * 3
    assert [owner.distribution for owner in owners[1:]] == [str(first), str(second)]
    assert owners[0].distribution.startswith("ganforge ")


def test_a_stranger_may_be_called_like_one_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "strange_gan", GOOD, entry_name="dcgan")
    registry = Registry(fallback={"dcgan": BUILTIN["dcgan"]})
    assert str(registry.owner("recipe", "strange")) == "plugin 'dcgan' (from stranger-gan 2.0)"
    assert str(registry.owner("recipe", "dcgan")) == "plugin 'dcgan' (from ganforge source tree)"
    monkeypatch.setenv("GANFORGE_DISABLE_PLUGINS", "dcgan")
    assert list(Registry(fallback={"dcgan": BUILTIN["dcgan"]}).all("recipe")) == ["dcgan"]


def test_unknown_names_come_with_the_nearest(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match=r"unknown recipe 'dcgann'; did you mean 'dcgan'"):
        registry.find("recipe", "dcgann")


def test_every_spec_tells_what_it_is(registry: Registry) -> None:
    for kind in registry_module.KINDS:
        for name, spec in registry.all(kind).items():
            assert spec.summary, (kind, name)
            assert spec.options.__doc__, (kind, name)
    for name, spec in registry.all("recipe").items():
        assert spec.paper, name


def test_commands_of_plugins_are_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = """
from ganforge.core import hookimpl

@hookimpl
def ganforge_commands(app):
    app.append("mine")
"""
    install(monkeypatch, tmp_path, "strange_gan", source)
    app: list[str] = []
    Registry().add_commands(app)
    assert app == ["mine"]
