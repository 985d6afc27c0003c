"""`ganforge datasets`: what `--data` takes beside a folder of pictures."""

from __future__ import annotations

import typer

from ganforge.cli.common import print_json, print_table
from ganforge.cli.options import Json
from ganforge.core.options import describe
from ganforge.core.registry import default_registry

app = typer.Typer(no_args_is_help=True, help="What `--data` takes.")


@app.callback()
def datasets() -> None:
    """What `--data` takes."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every data set there is, and its options (for `train --set data.OPTION=…`)."""
    registry = default_registry()
    rows = [
        {
            "name": name,
            "kind": spec.kind,
            "downloads": spec.downloads,
            "summary": spec.summary,
            "options": {option: default for option, _, default, _ in describe(spec.options)},
            "plugin": registry.owner("dataset", name).name,
        }
        for name, spec in registry.all("dataset").items()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("data set", "kind", "needs", "summary", "options"),
        [
            (
                r["name"],
                r["kind"],
                "--data-root or --download" if r["downloads"] else "",
                r["summary"],
                ", ".join(r["options"]),
            )
            for r in rows
        ],
    )
