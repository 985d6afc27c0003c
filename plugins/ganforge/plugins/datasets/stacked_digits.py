"""`stacked-digits`: three digits in the channels of one colour picture, of which a generator may lose a thousand modes.

From Metz et al. 2017 (unrolled GANs, arXiv 1611.02163, section 3.3); the numbers are those of VEEGAN (arXiv 1705.07761)
and PacGAN (arXiv 1712.04086, section 4.2), who stack MNIST: `--set data.of=mnist`. Each channel is drawn by itself,
with equal chances for every picture of the split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from ganforge.core import ArrayData, Data, DataRequest, Dataset, DataSpec, GanforgeError, Options, hookimpl
from ganforge.core.config import DataConfig, load_data
from ganforge.core.data import Split
from ganforge.core.registry import default_registry
from ganforge.plugins.datasets.common import check_memory

CHANNELS = 3
SEEDS: dict[Split, int] = {"train": 0, "test": 1}


class StackedOptions(Options):
    """What is stacked, and how many times."""

    of: str = Field("digits", description="a data set of grey pictures with classes, such as mnist or fashion-mnist")
    samples: int = Field(128_000, ge=1, le=10_000_000, description="of the training split; PacGAN's number")
    held_out: int = Field(26_000, ge=1, le=10_000_000, description="of the other; as many as papers judge")
    labelled: bool = Field(False, description="which three digits it shows is a sample's class")


@dataclass(frozen=True)
class StackedData(ArrayData):
    """Stacked pictures, and the single ones they are of: what a metric's classifier learns from."""

    single: Data | None = None


def load(options: StackedOptions, request: DataRequest) -> StackedData:
    """One split: uint8 [n, 3, H, W], stacked from the same split of the single ones.

    Raises:
        GanforgeError: no such data set, or not one of grey pictures with classes; more than fits in memory.
    """
    single = _load_single(options.of, request)
    count = options.samples if request.split == "train" else options.held_out
    check_memory((count, CHANNELS, *single.spec.shape[1:]), "stacked-digits")  # type: ignore[arg-type]
    images, labels = single.fetch(np.arange(len(single)))
    assert labels is not None
    random = np.random.Generator(np.random.PCG64(SEEDS[request.split]))
    chosen = random.integers(len(single), size=(count, CHANNELS))
    names = single.spec.classes
    classes = tuple(" ".join((a, b, c)) for a in names for b in names for c in names) if options.labelled else ()
    return StackedData(
        spec=DataSpec(shape=(CHANNELS, *single.spec.shape[1:]), classes=classes),
        samples=images[chosen, 0],
        labels=labels[chosen] @ len(names) ** np.arange(CHANNELS)[::-1] if options.labelled else None,
        single=single,
    )


def _load_single(name: str, request: DataRequest) -> Data:
    root = str(request.root) if request.root else None
    config = DataConfig(name=name, resolution=request.resolution, root=root, download=request.download)
    single = load_data(config, default_registry(), request.split)
    if single.spec.kind != "images" or single.spec.shape[0] != 1 or not single.spec.classes:
        kind = f"{single.spec}{'' if single.spec.classes else ' without classes'}"
        raise GanforgeError(f"option 'data.of': grey pictures with classes are stacked, and '{name}' has {kind}")
    return single


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [
        Dataset(
            name="stacked-digits",
            summary="three digits in the channels of a colour picture: 1,000 modes",
            paper="1611.02163",
            options=StackedOptions,
            load=load,
        )
    ]
