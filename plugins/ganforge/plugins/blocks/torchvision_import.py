"""Importing torchvision where its compiled operators do not match torch's build."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from ganforge.core import GanforgeError

# PyPI's torchvision wheel is built for CUDA's torch. Beside a CPU torch its compiled operators do not load,
# which it tolerates, except that it describes these two to torch's compiler without looking for them first.
_UNDESCRIBED = ("nms", "qnms")
_keep: list[Any] = []  # a torch Library takes its declarations along when it is collected


def torchvision_datasets() -> Any:
    """The module `torchvision.datasets`, which needs no compiled operator.

    Raises:
        GanforgeError: torchvision is not installed, or does not fit the installed torch.
    """
    try:
        return _import()
    except ImportError as error:
        raise GanforgeError(f"torchvision is needed: pip install 'ganforge[train]' ({error})") from error
    except RuntimeError as error:
        raise GanforgeError(f"torchvision cannot be imported beside this torch: {error}") from error


def import_with_torchvision(module: str) -> Any:
    """A module that imports torchvision itself, as those of torchmetrics and torch-fidelity do.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if importlib.util.find_spec("torchvision"):
        _import()
    return importlib.import_module(module)


def _import() -> Any:
    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or "does not exist" not in str(error):
            raise
    _declare_operators()
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    return importlib.import_module("torchvision.datasets")


def _declare_operators() -> None:
    """Give the missing operators a signature and no kernel: to be described is all that is asked of them."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _UNDESCRIBED:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _keep.append(library)
