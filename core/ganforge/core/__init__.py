"""ganforge.core: the authors' API. Light: importing it imports no torch.

A plugin needs `hookimpl`, the specs and `Options`; its `build` functions import torch and `ganforge.core.game`.
`train`, `resume`, `rehearse` and `Run` are here too, and import torch when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganforge.core.data import ArrayData, Data, DataRequest, DataSpec, Mixture, UnpairedData
from ganforge.core.errors import GanforgeError
from ganforge.core.hookspecs import hookimpl
from ganforge.core.latents import Latent
from ganforge.core.observers import Record, RunInfo, RunObserver
from ganforge.core.options import Options
from ganforge.core.specs import (
    Architecture,
    Built,
    Conditioning,
    Dataset,
    FeatureExtractor,
    Loss,
    Metric,
    Observer,
    Reading,
    Recipe,
    Regularizer,
)

if TYPE_CHECKING:
    from ganforge.core.rehearsal import rehearse
    from ganforge.core.run import Run, resume, train

__all__ = [
    "Architecture",
    "ArrayData",
    "Built",
    "Conditioning",
    "Data",
    "DataRequest",
    "DataSpec",
    "Dataset",
    "FeatureExtractor",
    "GanforgeError",
    "Latent",
    "Loss",
    "Metric",
    "Mixture",
    "Observer",
    "Options",
    "Reading",
    "Recipe",
    "Record",
    "Regularizer",
    "Run",
    "RunInfo",
    "RunObserver",
    "UnpairedData",
    "hookimpl",
    "rehearse",
    "resume",
    "train",
]


HEAVY = {"Run": "run", "rehearse": "rehearsal", "resume": "run", "train": "run"}
"""What imports torch, and its module."""


def __getattr__(name: str) -> Any:
    if name in HEAVY:
        return getattr(import_module(f"ganforge.core.{HEAVY[name]}"), name)
    raise AttributeError(f"module 'ganforge.core' has no attribute '{name}'")
