"""`ganforge plugins`: who brings what, which plugins are left out and why, and whether recipes keep their promises."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli.common import print_json, print_table, warn
from ganforge.cli.options import Json, names
from ganforge.core.files import write_text
from ganforge.core.registry import KINDS, Plugin, Registry, default_registry

if TYPE_CHECKING:
    from ganforge.cli.contract.recipe import Outcome

app = typer.Typer(no_args_is_help=True, help="Who brings what.")


@app.callback()
def plugins() -> None:
    """Who brings what."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every plugin that was found, what it offers, and why it is left out if it is."""
    registry = default_registry()
    rows = [
        {"name": p.name, "distribution": p.distribution, "offers": offers(p, registry), "problem": p.problem}
        for p in registry.plugins
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("plugin", "distribution", "offers"),
        [(p.name, p.distribution, p.problem or _text(offers(p, registry))) for p in registry.plugins],
    )


def offers(plugin: Plugin, registry: Registry) -> dict[str, list[str]]:
    """The names a plugin registered, by kind."""
    found = {kind: [name for name in registry.all(kind) if registry.owner(kind, name) == plugin] for kind in KINDS}
    return {kind: names for kind, names in found.items() if names}


def _text(offered: dict[str, list[str]]) -> str:
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in offered.items())


@app.command()
def check(
    recipes: Annotated[
        list[str] | None, typer.Argument(help="Recipes; by default all.", autocompletion=names("recipe"))
    ] = None,
    resolution: Annotated[int, typer.Option(min=8, help="Side of the pictures they train on.")] = 16,
    markdown: Annotated[Path | None, typer.Option(help="Write the findings as two tables into this file.")] = None,
) -> None:
    """Try what every recipe must hold, at tiny size: training, resume, export, proof, processes, conditionings.

    Each recipe trains on the embedded digits with the settings its spec calls small. Exit code 1: something fails.

    Example: ganforge plugins check my-gan --plugin my_gan.py
    """
    from ganforge.cli import contract
    from ganforge.cli.contract import conditioning, recipe, table

    registry = default_registry()
    chosen = [registry.find("recipe", name).name for name in recipes or registry.all("recipe")]
    data = {"name": "digits", "resolution": resolution}
    found: dict[str, dict[str, Outcome]] = {}
    pairs: dict[str, list[tuple[str, str, Outcome]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            found[name] = recipe.check(name, registry, Path(folder) / name, data)
            pairs[name] = list(conditioning.check(name, registry, data))
            _report(name, found[name], pairs[name])
        alike = recipe.two_processes(chosen, registry, Path(folder), data)
    for name in chosen:
        found[name][recipe.TWO_PROCESSES] = alike[name]
        _report(name, {recipe.TWO_PROCESSES: alike[name]}, [])
    if markdown:
        ways = conditioning.ways(registry, "discriminator")
        columns = [*recipe.PROMISES, recipe.TWO_PROCESSES]
        write_text(markdown, contract.page(table.promises(found, columns), table.conditionings(pairs, ways)))
    outcomes = [one for row in found.values() for one in row.values()] + [p[2] for row in pairs.values() for p in row]
    if any(outcome.state == "fails" for outcome in outcomes):
        raise typer.Exit(1)


def _report(name: str, found: dict[str, Outcome], pairs: Sequence[tuple[str, str, Outcome]]) -> None:
    """A line for what does not hold, or one that says that all does."""
    all_ = {**found, **{f"conditioning {g} and {d}": outcome for g, d, outcome in pairs}}
    for what, outcome in all_.items():
        if outcome.state == "fails":
            warn(f"{name}: {what} fails: {outcome.words}")
    held = sum(outcome.state == "holds" for outcome in all_.values())
    typer.echo(f"{name}: {held} of {len(all_)} hold, {sum(o.state == 'exempt' for o in all_.values())} do not apply")
