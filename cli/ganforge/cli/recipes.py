"""`ganforge recipes`: what `train` takes, and every setting of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel

from ganforge.cli.common import paper_link, print_json, print_table
from ganforge.cli.options import Json, names
from ganforge.core.config import SETS, UNCONDITIONED, Component, Config, merge, resolve, with_companions
from ganforge.core.data import DataSpec
from ganforge.core.options import describe, parse
from ganforge.core.registry import Registry, default_registry
from ganforge.core.specs import Recipe, Spec

app = typer.Typer(no_args_is_help=True, help="What `train` takes.")


class Setting(NamedTuple):
    """A line of `recipes show`: the key `--set` takes, the recipe's value, its type and what it means."""

    key: str
    value: Any
    type: str
    meaning: str


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every recipe there is."""
    registry = default_registry()
    rows = [
        {
            "name": name,
            "summary": spec.summary,
            "paper": spec.paper,
            "plugin": registry.owner("recipe", name).name,
        }
        for name, spec in registry.all("recipe").items()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(("recipe", "summary", "paper", "plugin"), [list(row.values()) for row in rows])


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe's name.", autocompletion=names("recipe"))],
    data: Annotated[
        str | None,
        typer.Option(help="The data set to train on; settings may depend on it.", autocompletion=names("dataset")),
    ] = None,
    resolution: Annotated[int | None, typer.Option(min=4, help="Side of the pictures.", show_default="32")] = None,
    as_json: Json = False,
) -> None:
    """One recipe's complete settings, by the keys of `train --set`."""
    registry = default_registry()
    recipe: Recipe[Any] = registry.find("recipe", name)
    rows = list(settings(_values(recipe, data, resolution, registry), registry))
    head = {"name": name, "summary": recipe.summary, "paper": paper_link(recipe.paper)}
    head["plugin"] = str(registry.owner("recipe", name))
    if as_json:
        print_json({**head, "settings": [row._asdict() for row in rows]})
        return
    typer.echo(f"{name}: {recipe.summary}\n{head['paper'] or 'no paper'}\n{head['plugin']}\n")
    print_table(("setting", "value", "type", "meaning"), [(r.key, _text(r.value), r.type, r.meaning) for r in rows])


def _values(recipe: Recipe[Any], data: str | None, resolution: int | None, registry: Registry) -> dict[str, Any]:
    """The recipe's settings for a data set or, where none is named, for colour pictures."""
    if data is not None:
        wanted = {"name": data} if resolution is None else {"name": data, "resolution": resolution}
        return resolve({"recipe": recipe.name, "data": wanted}, registry)[0].model_dump()
    side = resolution or 32
    chosen = merge({}, recipe.settings(recipe.options(), DataSpec(shape=(3, side, side))))
    chosen = with_companions(chosen, registry)
    return {**chosen, "recipe": {"name": recipe.name}, "data": {"name": ""}}


def settings(values: Mapping[str, Any], registry: Registry) -> Iterator[Setting]:
    """Every key of the config with the recipe's value, parts and their options included."""
    described = {name: rest for name, *rest in describe(Config)}
    for key, (type_, default, meaning) in described.items():
        model = Config.model_fields[key].annotation
        given = values.get(key, default)
        if key in SETS:
            for name, chosen in given.items():
                yield from _part(
                    f"{key}.{name}", registry.find(SETS[key], name), chosen, registry, value=chosen is not False
                )
        elif key in ("architecture", "loss", "recipe"):
            yield from _part(key, registry.find(key, given["name"]), given, registry, value=given["name"])
        elif isinstance(model, type) and issubclass(model, BaseModel):
            yield from _options(key, model, given, registry)
        elif key != "plugins":
            yield Setting(key, given, type_, meaning)
    if values["data"]["name"]:
        yield from _options("data", registry.find("dataset", values["data"]["name"]).options, values["data"], registry)


def _part(key: str, spec: Spec[Any], given: Any, registry: Registry, value: Any = True) -> Iterator[Setting]:
    yield Setting(key, value, "name" if isinstance(value, str) else "boolean", spec.summary)
    if given is False:
        return
    given = given if isinstance(given, Mapping) else {}
    options = {name: option for name, option in given.items() if name != "name"}
    yield from _options(key, spec.options, parse(spec.options, options, key), registry)


def _options(prefix: str, model: type[BaseModel], given: Any, registry: Registry) -> Iterator[Setting]:
    values = given.model_dump() if isinstance(given, BaseModel) else given
    for name, type_, default, meaning in describe(model):
        key, value = f"{prefix}.{name}", values.get(name, default)
        nested = model.model_fields[name].annotation
        if nested is Component:
            chosen = Component.model_validate({"name": value} if isinstance(value, str) else value)
            yield Setting(key, chosen.name, "name", meaning)
            if chosen.name != UNCONDITIONED:
                own = registry.find(name, chosen.name).options
                yield from _options(key, own, parse(own, chosen.values, key), registry)
        elif isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from _options(key, nested, value, registry)
        else:
            yield Setting(key, value, type_, meaning)


def _text(value: Any) -> str:
    """A value as `--set` takes it; nothing stands for what is not set."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)
