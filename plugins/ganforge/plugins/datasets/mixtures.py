"""`ring` and `grid`: points from mixtures of Gaussians in the plane, on which lost modes can be counted.

The defaults are those of PacGAN's code (Lin et al. 2018, arXiv 1712.04086), which follow VEEGAN's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from ganforge.core import ArrayData, DataRequest, Dataset, DataSpec, GanforgeError, Mixture, Options, hookimpl
from ganforge.core.data import Split

SEEDS: dict[Split, int] = {"train": 0, "test": 1}


class MixtureOptions(Options):
    """What the mixtures have in common."""

    samples: int = Field(100_000, ge=1, le=100_000_000, description="points drawn")
    labelled: bool = Field(False, description="the number of its mode is a point's class")


class RingOptions(MixtureOptions):
    """Gaussians at equal distances on a circle around zero."""

    modes: int = Field(8, ge=1, le=10_000)
    radius: float = Field(1.0, gt=0)
    sigma: float = Field(0.01, gt=0, description="standard deviation of each Gaussian, in both coordinates")


class GridOptions(MixtureOptions):
    """Gaussians on the crossings of a square grid around zero."""

    side: int = Field(5, ge=1, le=100, description="modes in a row and in a column")
    spacing: float = Field(2.0, gt=0, description="distance of neighbours")
    sigma: float = Field(0.05, gt=0, description="standard deviation of each Gaussian, in both coordinates")


def load_ring(options: RingOptions, request: DataRequest) -> ArrayData:
    """The first mode lies at (radius, 0), the others follow counter-clockwise."""
    angles = 2 * np.pi / options.modes * np.arange(options.modes)
    centres = options.radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _draw("ring", Mixture(centres, options.sigma), options, request)


def load_grid(options: GridOptions, request: DataRequest) -> ArrayData:
    """Modes column by column, from the bottom left."""
    line = options.spacing * (np.arange(options.side) - (options.side - 1) / 2)
    centres = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return _draw("grid", Mixture(centres, options.sigma), options, request)


def _draw(name: str, mixture: Mixture, options: MixtureOptions, request: DataRequest) -> ArrayData:
    """Points float32 [samples, 2], each from a mode chosen with equal chances; each split has its seed."""
    if request.resolution is not None:
        raise GanforgeError(f"data set '{name}' has points, which have no resolution: leave out --resolution")
    modes = len(mixture.centres)
    generator = np.random.Generator(np.random.PCG64(SEEDS[request.split]))
    chosen = generator.integers(modes, size=options.samples)
    noise = generator.standard_normal((options.samples, 2))
    points = (mixture.centres[chosen] + mixture.sigma * noise).astype(np.float32)
    extent = float(np.abs(mixture.centres).max()) or 1.0  # a single mode may lie at the origin
    if not options.labelled:
        return ArrayData(DataSpec(shape=(2,), extent=extent), points, None, mixture)
    classes = tuple(str(mode) for mode in range(modes))
    return ArrayData(DataSpec(shape=(2,), classes=classes, extent=extent), points, chosen, mixture)


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [
        Dataset(
            name="ring",
            summary="points from 8 Gaussians on a circle of radius 1, sigma 0.01",
            paper="1712.04086",
            options=RingOptions,
            load=load_ring,
            kind="points",
        ),
        Dataset(
            name="grid",
            summary="points from 25 Gaussians at {-4, -2, 0, 2, 4}², sigma 0.05",
            paper="1712.04086",
            options=GridOptions,
            load=load_grid,
            kind="points",
        ),
    ]
