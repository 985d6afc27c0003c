"""Strangers' plugins: what they add, and what happens when they are broken."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from command import TRAIN_TINY, done, ganforge, refused

GOOD = """
    from ganforge.core import Recipe, hookimpl

    @hookimpl
    def ganforge_recipes():
        return [Recipe(name="stranger", summary="from afar", settings=lambda options, data: {})]
"""


class Site:
    """A folder on the import path, with distributions installed in it as pip would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str) -> None:
        """Install the distribution `name` 1.0, whose one module is its ganforge plugin."""
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        information = self.folder / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[ganforge]\n{name} = {module}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GANFORGE_DISABLE_PLUGINS", "")
    return Site(tmp_path)


def file(folder: Path, source: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(source))
    return path


def recipes(*arguments: object) -> set[str]:
    return {row["name"] for row in json.loads(done("recipes", "list", "--json", *arguments).out)}


def test_an_installed_plugin_is_found(site: Site) -> None:
    site.install("afar-good", GOOD)
    assert {"stranger", "dcgan"} <= recipes()
    rows = {row["name"]: row for row in json.loads(done("plugins", "list", "--json").out)}
    assert rows["afar-good"]["distribution"] == "afar-good 1.0"
    assert rows["afar-good"]["offers"] == {"recipe": ["stranger"]}


@pytest.mark.parametrize("switch", ["afar-off", "1", "all", "other, afar-off"])
def test_a_plugin_that_is_switched_off(switch: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("afar-off", "raise RuntimeError('imported')")
    monkeypatch.setenv("GANFORGE_DISABLE_PLUGINS", switch)
    outcome = done("plugins", "list", "--json")
    assert outcome.err == ""
    problems = {row["name"]: row["problem"] for row in json.loads(outcome.out)}
    assert problems["afar-off"] == "switched off by GANFORGE_DISABLE_PLUGINS"
    assert problems["dcgan"] == ""


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("afar-import", "import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("afar-raise", "raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("afar-syntax", "def", "SyntaxError: invalid syntax (afar_syntax.py, line 1)"),
        (
            "afar-hook",
            """
            from ganforge.core import hookimpl

            @hookimpl
            def ganforge_recipes():
                return 1 / 0
            """,
            "ZeroDivisionError: division by zero",
        ),
        (
            "afar-kind",
            """
            from ganforge.core import Loss, hookimpl

            @hookimpl
            def ganforge_losses():
                return [Loss]
            """,
            "TypeError: ganforge_losses must return a list of Loss specs, but the class Loss is in it",
        ),
        (
            "afar-command",
            """
            from ganforge.core import hookimpl

            @hookimpl
            def ganforge_commands(app):
                app.no_such_method()
            """,
            "AttributeError: 'Typer' object has no attribute 'no_such_method'",
        ),
    ],
)
def test_a_broken_plugin_is_left_out_with_a_warning(name: str, source: str, reason: str, site: Site) -> None:
    site.install(name, source)
    outcome = done("recipes", "list", "--json")
    assert outcome.err == f"warning: plugin '{name}' (from {name} 1.0) is left out: {reason}\n"
    assert "dcgan" in {row["name"] for row in json.loads(outcome.out)}
    rows = {row["name"]: row["problem"] for row in json.loads(done("plugins", "list", "--json").out)}
    assert " ".join(rows[name].split()) == reason
    doctor = ganforge("doctor", "--json")
    assert doctor.code == 1
    assert any(name in problem for problem in json.loads(doctor.out)["problems"])


def test_an_unknown_name_points_at_the_broken_plugin(site: Site) -> None:
    site.install("afar-lost", "raise RuntimeError('no')")
    outcome = ganforge("recipes", "show", "lost-gan")
    assert outcome.code == 2
    assert outcome.err.endswith("(plugin 'afar-lost' (from afar-lost 1.0) failed to load: RuntimeError: no)\n")


def test_two_plugins_with_one_name(site: Site) -> None:
    site.install("afar-clash", GOOD.replace('"stranger"', '"dcgan"'))
    sentence = refused("recipes", "list")
    assert sentence.startswith("two plugins register the recipe 'dcgan': plugin '")
    assert "(from afar-clash 1.0)" in sentence
    assert sentence.endswith("; rename one, or switch one off with GANFORGE_DISABLE_PLUGINS=afar-clash")


def test_a_misspelt_hook(site: Site) -> None:
    site.install("afar-misspelt", GOOD.replace("ganforge_recipes", "ganforge_recipies"))
    assert refused("--help") == (
        "unknown hook 'ganforge_recipies' in plugin 'afar-misspelt' (from afar-misspelt 1.0); "
        "did you mean 'ganforge_recipes' or 'ganforge_regularizers' or 'ganforge_metrics'?"
    )


@pytest.mark.parametrize("form", ["before", "after", "equals"])
def test_a_single_file_plugin_wherever_it_is_named(form: str, tmp_path: Path) -> None:
    path = file(tmp_path, GOOD)
    plugin = [f"--plugin={path}"] if form == "equals" else ["--plugin", str(path)]
    command = ["recipes", "list", "--json"]
    outcome = done(*plugin, *command) if form == "before" else done(*command, *plugin)
    assert "stranger" in {row["name"] for row in json.loads(outcome.out)}


def test_a_single_file_called_like_one_of_ours(tmp_path: Path) -> None:
    path = file(tmp_path, GOOD, "dcgan.py")
    assert {"stranger", "dcgan"} <= recipes("--plugin", path)
    rows = json.loads(done("plugins", "list", "--json", "--plugin", path).out)
    offers = {row["distribution"]: row["offers"].get("recipe") for row in rows if row["name"] == "dcgan"}
    assert offers.pop(str(path)) == ["stranger"]
    assert list(offers.values()) == [["dcgan"]]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("1 / 0", "plugin file {path} failed to import: ZeroDivisionError: division by zero"),
        (
            GOOD.replace("hookimpl\n    def ganforge_recipes", "hookimpl\n    def ganforge_recipe"),
            "unknown hook 'ganforge_recipe' in ",
        ),
        (
            GOOD.replace("return [", "return 1 / 0, ["),
            "plugin 'mine' (from {path}) failed: ZeroDivisionError: division by zero",
        ),
        (
            GOOD.replace("_recipes", "_losses"),
            "plugin 'mine' (from {path}) failed: TypeError: ganforge_losses must return a list of Loss specs, ",
        ),
        (
            GOOD.replace("_recipes()", "_commands(app)").replace("return [", "return 1 / 0, ["),
            "plugin 'mine' (from {path}) failed: ZeroDivisionError: division by zero",
        ),
        (GOOD.replace('"stranger"', '"wgan"'), "two plugins register the recipe 'wgan': "),
    ],
)
def test_a_broken_file_is_an_error(source: str, sentence: str, tmp_path: Path) -> None:
    path = file(tmp_path, source)
    assert sentence.format(path=path) in refused("recipes", "list", "--plugin", path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "missing.py"
    assert refused("recipes", "list", "--plugin", missing) == f"no plugin file {missing}"
    assert refused("recipes", "list", "--plugin") == "--plugin takes a Python file, as in --plugin my_gan.py"
    assert refused("recipes", "list", "--plugin=") == "--plugin takes a Python file, as in --plugin my_gan.py"


@pytest.mark.parametrize(
    ("hook", "spec", "kind"),
    [
        ("ganforge_architectures", "Architecture(name='bad', summary='', build=build)", "architecture"),
        ("ganforge_losses", "Loss(name='bad', summary='', build=build, reading=Reading('D'))", "loss"),
        ("ganforge_regularizers", "Regularizer(name='bad', summary='', build=build)", "regularizer"),
    ],
)
def test_a_part_that_raises_in_build(hook: str, spec: str, kind: str, tmp_path: Path) -> None:
    source = f"""
    from ganforge.core import Architecture, Loss, Reading, Regularizer, hookimpl

    def build(options, *context):
        raise ValueError("I cannot")

    @hookimpl
    def {hook}():
        return [{spec}]
    """
    path = file(tmp_path, source)
    setting = "regularizers.bad=true" if kind == "regularizer" else f"{kind}=bad"
    sentence = refused(*TRAIN_TINY, "--set", setting, "--plugin", path, "--out", tmp_path / "run")
    assert sentence == f"{kind} 'bad' of plugin 'mine' (from {path}) raised in build: ValueError: I cannot"
    assert not (tmp_path / "run").exists()


COMMAND = """
    import typer
    from ganforge.core import GanforgeError, hookimpl

    @hookimpl
    def ganforge_commands(app):
        @app.command()
        def greet():
            {body}
"""


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("typer.echo('hello')", 0, "hello\n"),
        ("raise typer.Exit(3)", 3, ""),
        ("raise GanforgeError('not now')", 2, "error: not now\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("raise typer.Abort", 130, "interrupted\n"),
        ("import no_torch", 1, "error: unexpected ModuleNotFoundError: No module named 'no_torch'"),
        (
            "raise ModuleNotFoundError(name='torch.nn')",
            2,
            "error: this needs torch.nn, which is not installed: pip install 'ganforge[train]'\n",
        ),
        (
            "raise ValueError('a bug\\nin two lines')",
            1,
            "error: unexpected ValueError: a bug in two lines (set GANFORGE_TRACEBACK=1 to see where)\n",
        ),
    ],
)
def test_a_plugins_command_and_its_errors(body: str, code: int, said: str, tmp_path: Path) -> None:
    outcome = ganforge("greet", "--plugin", file(tmp_path, COMMAND.format(body=body)))
    assert outcome.code == code
    assert (outcome.out + outcome.err).startswith(said)
    assert (outcome.out + outcome.err).count("\n") == bool(said)


def test_the_traceback_of_an_error_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_TRACEBACK", "1")
    outcome = ganforge("greet", "--plugin", file(tmp_path, COMMAND.format(body="raise ValueError('a bug')")))
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback (most recent call last):\n")
    assert "mine.py" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("error: unexpected ValueError: a bug")
