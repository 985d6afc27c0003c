"""The hooks: each returns a list of frozen specs (or adds commands), so that core can name the owner of every error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import typer

    from ganforge.core.specs import (
        Architecture,
        Conditioning,
        Dataset,
        FeatureExtractor,
        Loss,
        Metric,
        Observer,
        Recipe,
        Regularizer,
    )

hookspec = pluggy.HookspecMarker("ganforge")
hookimpl = pluggy.HookimplMarker("ganforge")


@hookspec
def ganforge_architectures() -> list[Architecture[Any]]:  # type: ignore[empty-body]
    """Networks: a generator and a discriminator for a data spec."""


@hookspec
def ganforge_losses() -> list[Loss[Any]]:  # type: ignore[empty-body]
    """Losses: from critic outputs to one scalar per player."""


@hookspec
def ganforge_regularizers() -> list[Regularizer[Any]]:  # type: ignore[empty-body]
    """Regularizers: penalties, views, constraints on weights, changes before a round."""


@hookspec
def ganforge_conditionings() -> list[Conditioning[Any]]:  # type: ignore[empty-body]
    """Conditionings: how labels enter the networks of any architecture."""


@hookspec
def ganforge_recipes() -> list[Recipe[Any]]:  # type: ignore[empty-body]
    """Recipes: complete, runnable GANs, what `ganforge train` takes."""


@hookspec
def ganforge_datasets() -> list[Dataset[Any]]:  # type: ignore[empty-body]
    """Data sets: what `--data` takes."""


@hookspec
def ganforge_observers() -> list[Observer[Any]]:  # type: ignore[empty-body]
    """Observers: they watch a run and write about it."""


@hookspec
def ganforge_metrics() -> list[Metric[Any]]:  # type: ignore[empty-body]
    """Metrics: they score samples."""


@hookspec
def ganforge_feature_extractors() -> list[FeatureExtractor[Any]]:  # type: ignore[empty-body]
    """Feature extractors: fixed networks whose features metrics compare."""


@hookspec
def ganforge_commands(app: typer.Typer) -> None:
    """Add commands to the command line.

    :param app: the Typer application.
    """
