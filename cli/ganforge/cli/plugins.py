"""`ganforge plugins`: who brings what, and which plugins are left out and why."""

from __future__ import annotations

import typer

from ganforge.cli.common import Json, print_json, print_table
from ganforge.core.registry import KINDS, Plugin, Registry, default_registry

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
