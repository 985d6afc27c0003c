"""Alarms in words while a run is played, and `ganforge diagnose`, the verdict on a whole run.

What is wrong, and when: `rules.py` and `limits.py`; both judge the same records, which `health` and `scores` add to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import Observer, Options, RunObserver, hookimpl

if TYPE_CHECKING:
    import typer


class AlarmOptions(Options):
    """When something counts as wrong."""

    patience: int = Field(3, ge=1, description="measurements in a row that must be beyond a limit")
    calm: int = Field(3, ge=1, description="records in a row without an alarm before it is raised again")
    ignore: tuple[str, ...] = Field((), description="alarms to leave out, as in large-gradient")


def build(options: AlarmOptions) -> RunObserver:
    from ganforge.plugins.observers.alarms.observer import Alarms

    return Alarms(options)


@hookimpl
def ganforge_observers() -> list[Observer[Any]]:
    return [Observer(name="alarms", summary="what looks wrong, in words", options=AlarmOptions, build=build)]


@hookimpl
def ganforge_commands(app: typer.Typer) -> None:
    from ganforge.plugins.observers.alarms.command import diagnose

    app.command()(diagnose)
