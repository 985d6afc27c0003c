"""docs/plugins.md is true: its files and commands work as they stand, and nothing an author can use is missing.

A block whose first line is a comment with a file's name is that file; a block of shell commands is run in the
folder in which the reader started. Only the number of steps is cut down.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from command import refused
from fresh import REPOSITORY, Fresh
from pydantic import BaseModel

from ganforge.core import config, data, duel, evaluation, game, hookspecs, latents, observers, specs
from ganforge.core.draw import Batch, Draw

PAGE = (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.\w+)\n")
STEPS = 4

# The page as it runs.


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Someone who has installed ganforge, followed the page to its end, and got no error."""
    fresh = Fresh(tmp_path_factory.mktemp("docs"))
    for language, text in BLOCK.findall(PAGE):
        if language == "sh":
            fresh.done("sh", "-eu", "-c", re.sub(r"--steps \d+", f"--steps {STEPS}", text))
        else:
            file = FILE.match(text)
            assert file, f"a block of {language} that names no file: {text[:60]}"
            path = fresh.work / file[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return fresh


def test_the_page_runs_from_its_first_command_to_its_last(reader: Fresh) -> None:
    runs = {path.name for path in (reader.work / "runs").iterdir()}
    assert runs == {"first", "second", "third", "installed", "two", "circles"}
    for name in ("grid.png", "same.png", "my-gan.onnx", "runs/circles/varied.txt", "runs/two/report.html"):
        assert (reader.work / name).stat().st_size > 0


def test_what_the_page_sets_is_set(reader: Fresh) -> None:
    assert 'name = "my-relativistic"' in (reader.work / "runs/second/config.toml").read_text()
    third = (reader.work / "runs/third/config.toml").read_text()
    assert "[regularizers.my-lecam]\nweight = 0.1" in third
    assert "width = 256" in third


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train my-gan --data digits --set architecture.width=0", "option 'architecture.width': "),
        ("train my-gan --data ring", "architecture 'my-mlp' builds images, not points with 2 coordinates"),
        ("sample runs/third", "my_trick.py, load it with --plugin "),
    ],
)
def test_the_sentences_the_page_promises(
    reader: Fresh, monkeypatch: pytest.MonkeyPatch, arguments: str, sentence: str
) -> None:
    monkeypatch.chdir(reader.work)
    assert sentence in refused(*arguments.split(), "--plugin", "./my_gan.py")


# The page as a list: every name is there.

SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))

SPECS = [
    specs.Spec,
    specs.Architecture,
    specs.Conditioning,
    specs.Loss,
    specs.Regularizer,
    specs.Recipe,
    specs.Dataset,
    specs.Observer,
]
TYPES: list[type[Any]] = [
    *(*SPECS, specs.Metric, specs.FeatureExtractor, specs.Built, specs.Reading),
    *(evaluation.Case, evaluation.Scorer, evaluation.Judged, evaluation.Extractor, evaluation.Features),
    *(duel.Networks, duel.Generated, duel.Critique, duel.Duel, duel.Step, duel.Player, duel.Clock),
    *(game.LossModule, game.Effect, game.Game, game.AdversarialGame, game.Parts, game.Objective, game.Export),
    *(
        Batch,
        Draw,
        latents.Latent,
        latents.Generator,
        data.DataSpec,
        data.DataRequest,
        data.Data,
        data.ArrayData,
        data.UnpairedData,
        data.Mixture,
    ),
    *(observers.RunObserver, observers.RunInfo),
]


def own(cls: type[Any]) -> set[str]:
    """What a class itself offers: methods, properties, fields, and what its `__init__` sets; public names only."""
    tree = ast.parse(inspect.getsource(cls))
    targets = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    attributes = {node.attr for node in targets if isinstance(node.value, ast.Name) and node.value.id == "self"}
    names = attributes | set(vars(cls)) | set(inspect.get_annotations(cls)) | set(getattr(cls, "_fields", ()))
    return {name for name in names if not name.startswith(("_", "model_"))}


def methods(cls: type[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, member in vars(cls).items():
        if inspect.isfunction(member) and not name.startswith("_"):
            yield name, member


def taken(method: Callable[..., Any]) -> list[str]:
    """The names of a method's arguments, stars included, without `self`."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + p.name for p in inspect.signature(method).parameters.values()][1:]


def shown(section: str) -> dict[str, list[str]]:
    """The calls in a section with the names of their arguments: `f(x, y=None, *, z)` takes x, y and z."""
    calls = re.findall(r"`(\w+)\(([^)]*)\)", section)
    split = {name: [part.partition("=")[0].strip() for part in inside.split(",")] for name, inside in calls}
    return {name: [part for part in parts if part not in ("", "*")] for name, parts in split.items()}


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
def test_every_member_is_documented(cls: type[Any]) -> None:
    section = SECTIONS[cls.__name__]
    assert [name for name in sorted(own(cls)) if not re.search(rf"`{name}\b", section)] == []


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
def test_every_method_is_documented_with_its_arguments(cls: type[Any]) -> None:
    documented = shown(SECTIONS[cls.__name__])
    for name, method in methods(cls):
        assert documented[name] == taken(method), name


def test_every_type_in_the_reference_is_checked() -> None:
    assert set(SECTIONS) == {cls.__name__ for cls in TYPES}


def test_every_spec_a_hook_returns_is_documented() -> None:
    kinds = {cls for cls in vars(specs).values() if isinstance(cls, type) and issubclass(cls, specs.Spec)}
    assert kinds <= set(TYPES)
    assert all(dataclasses.is_dataclass(kind) for kind in kinds)


def test_every_hook_is_documented_with_its_signature() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("ganforge_")}
    assert hooks
    for name, hook in hooks.items():
        signature = inspect.signature(hook)
        returned = str(signature.return_annotation).replace("[Any]", "")
        assert f"`{name}({', '.join(signature.parameters)}) -> {returned}`" in PAGE


@pytest.mark.parametrize(
    "model",
    [config.Config, config.PlayerConfig, config.EmaConfig, config.Machine, config.DataConfig, latents.Latent],
)
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    section = PAGE.split("\n## Settings of a recipe\n")[1].split("\n## ")[0]
    assert [name for name in model.model_fields if f"`{name}`" not in section] == []


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        found = target[1:] in headings if target.startswith("#") else (REPOSITORY / "docs" / target).exists()
        assert found, target
