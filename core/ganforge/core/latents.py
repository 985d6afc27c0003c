"""Latents: what a generator draws from, and the hash by which one seed is one picture everywhere.

Sampling (not training) must give the same picture from a run, a file, a server and any batch size, so a latent
is a pure function of (seed, index): a 32-bit integer hash gives uniform numbers, Box-Muller makes them normal.
Only int64 arithmetic and shifts of non-negative numbers are used, so that numpy, torch and ONNX agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ganforge.core.data import DataSpec
from ganforge.core.errors import GanforgeError

_MASK = 0xFFFFFFFF
Integers = TypeVar("Integers", bound=Any)  # int64, of numpy or of torch: the hash is one function for both
Distribution = Literal["normal", "uniform", "truncated-normal", "sphere"]


class Latent(BaseModel):
    """The distribution a generator's input follows: `dim` numbers, then one-hot and uniform codes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Distribution = Field(
        "normal", description="normal N(0, 1), uniform on [-1, 1], truncated-normal, or the sphere of radius √dim"
    )
    dim: int = Field(100, ge=1, le=65536, description="how many numbers z has")
    truncation: float = Field(2.0, gt=0, description="|z| stays below this (truncated-normal)")
    categorical: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (), description="categories of each categorical code (one-hot)"
    )
    continuous: int = Field(0, ge=0, description="how many uniform codes on [-1, 1]")

    @property
    def codes(self) -> int:
        """Width of the codes that follow z."""
        return sum(self.categorical) + self.continuous

    @property
    def width(self) -> int:
        """Width of all a generator gets: z and codes."""
        return self.dim + self.codes

    def sample(self, seed: int, n: int, *, start: int = 0, truncation: float | None = None) -> np.ndarray:
        """Pictures `start` … `start + n` of `seed`: float32 [n, width], the same in any split into batches.

        `truncation` keeps |z| below a threshold by drawing again (Brock et al., arXiv 1809.11096, section 3.1).
        """
        return self.from_seeds(picture_seeds(seed, n, start=start), truncation=truncation)

    def from_seeds(self, seeds: np.ndarray, *, truncation: float | None = None) -> np.ndarray:
        """One latent per picture seed: int64 [n] to float32 [n, width]."""
        bound = truncation if truncation is not None else self.truncation if self.name == "truncated-normal" else None
        if self.name == "uniform":
            z = 2 * uniforms(seeds, self.dim) - 1
            z = z if bound is None else z * min(bound, 1.0)
        elif self.name == "sphere":
            if truncation is not None:
                raise GanforgeError(NO_TAILS)
            z = self.projected(normals(seeds, self.dim))
        else:
            z = _bounded_normals(seeds, self.dim, bound)
        return np.concatenate([z, *self._codes(seeds)], axis=1).astype(np.float32)

    def sweep(self, code: int, seed: int, columns: int, *, truncation: float | None = None) -> np.ndarray:
        """Latents in which one code takes value after value, the rest staying: float32 [rows, columns, width].

        Codes are numbered as they come in `codes`, categorical ones first. A categorical code has a row for each
        category, over the same pictures of `seed`. A continuous one goes from -2 to 2 along each row, twice as far
        as in training (Chen et al., arXiv 1606.03657, figure 2); each row is another picture of `seed`, with the
        first categorical code, if there is one, at another category.
        """
        kinds = self.categorical
        place = self.dim + sum(kinds[:code]) + max(0, code - len(kinds))
        if code < len(kinds):
            rows = kinds[code]
            swept = np.tile(self.sample(seed, columns, truncation=truncation), (rows, 1, 1))
            swept[:, :, place : place + rows] = np.eye(rows)[:, None]
            return swept
        rows = kinds[0] if kinds else SWEPT_ROWS
        swept = self.sample(seed, rows, truncation=truncation)[:, None].repeat(columns, axis=1)
        if kinds:
            swept[:, :, self.dim : self.dim + rows] = np.eye(rows)[:, None]
        swept[:, :, place] = np.linspace(-SWEPT, SWEPT, columns)
        return swept

    def projected(self, latents: np.ndarray) -> np.ndarray:
        """Latents [n, ≥ dim] moved to where samples lie: z onto the sphere, if that is where; else as they are."""
        if self.name != "sphere":
            return latents
        z = latents[:, : self.dim]
        longer = np.sqrt(self.dim / np.maximum((z**2).sum(axis=1, keepdims=True), 1e-12))
        return np.concatenate([z * longer, latents[:, self.dim :]], axis=1)

    def path(self, first: np.ndarray, last: np.ndarray, n: int, *, straight: bool | None = None) -> np.ndarray:
        """`n` latents from one [width] to another, both included: float32 [n, width].

        z goes on the arc between them, which stays as far from the origin as samples are; or, if `straight`, on the
        line, as by default where the latent fills a cube. Codes go on the line.
        """
        t = np.linspace(0, 1, n)[:, None]
        line = (1 - t) * first + t * last
        if not (self.name == "uniform" if straight is None else straight):
            z = slice(self.dim)
            line[:, z] = spherical(first[None, z].astype(np.float64), last[None, z].astype(np.float64), t)
        return line.astype(np.float32)

    def _codes(self, seeds: np.ndarray) -> list[np.ndarray]:
        kinds = self.categorical
        drawn = uniforms(seeds, len(kinds) + self.continuous, stream=CODES)
        one_hot = [np.minimum(drawn[:, [i]] * k, k - 1).astype(np.int64) == np.arange(k) for i, k in enumerate(kinds)]
        return [*one_hot, 2 * drawn[:, len(kinds) :] - 1]


class Generator(NamedTuple):
    """A generator for callers who choose its latents.

    `make` takes latents float32 [N, latent.width] and labels int64 [N] where it is `labelled`, else None, and gives
    float32 [N, *data.shape], images in [-1, 1]. `truncation` is what the samples keep to of which one speaks: a bound
    of the latents, or, of a generator that is `styled`, its own affair, which `make` takes by this name.
    `make_of_seeds`, where there is one, takes picture seeds int64 [N], labels and the truncation instead: it is for
    what makes its own latents, and has a `make` that refuses. `draws` is for one whose latents are not drawn from
    `latent` alone, as a style is: (seed, n, start) to latents. `rounds` says that the least steps of a latent are lost:
    images come in whole pixels, or from fewer digits than float32 has.
    """

    latent: Latent
    data: DataSpec
    labelled: bool
    make: Callable[..., np.ndarray]
    truncation: float | None = None
    make_of_seeds: Callable[[np.ndarray, np.ndarray | None, float | None], np.ndarray] | None = None
    styled: bool = False
    draws: Callable[[int, int, int], np.ndarray] | None = None
    rounds: bool = False

    def at(self, truncation: float | None) -> Generator:
        """The same generator, whose samples keep to a truncation."""
        make = partial(self.make, truncation=truncation) if self.styled else self.make
        return self._replace(truncation=truncation, make=make)

    @property
    def bound(self) -> float | None:
        """What its latents are truncated to."""
        return None if self.styled else self.truncation

    def draw(self, seed: int, n: int, start: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """Latents of pictures `start` … `start + n` of `seed`, and their labels: every class in turn."""
        if self.draws is not None:
            latents = self.draws(seed, n, start)
        else:
            latents = self.latent.sample(seed, n, start=start, truncation=self.bound)
        return latents, self.data.labels(n, start=start) if self.labelled else None

    def sampler(self, seed: int) -> Callable[[int, int], tuple[np.ndarray, np.ndarray | None]]:
        """(start, n) to pictures `start` … `start + n` of `seed`: uint8 [n, C, H, W], or points float32 [n, 2]; and
        their labels int64 [n]."""

        from ganforge.core.pictures import to_pixels

        def sample(start: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
            samples, labels = _numbered(self, seed, n, start)
            return to_pixels(samples).transpose(0, 3, 1, 2) if samples.ndim == 4 else samples, labels

        return sample


def _numbered(generator: Generator, seed: int, n: int, start: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Pictures `start` … `start + n` of `seed`, float32 [n, *data.shape], and their labels int64 [n]."""
    if generator.make_of_seeds is None:
        latents, labels = generator.draw(seed, n, start)
        return generator.make(latents, labels), labels
    labels = generator.data.labels(n, start=start) if generator.labelled else None
    return generator.make_of_seeds(picture_seeds(seed, n, start=start), labels, generator.truncation), labels


def spherical(first: np.ndarray, second: np.ndarray, t: np.ndarray) -> np.ndarray:
    """White's interpolation (arXiv 1609.04468, appendix): at constant speed on the sphere between equally long vectors.

    Float64 [n, dim], or [1, dim] for the ends of one path, and t [n, 1] to [n, dim]. In a line where
    both lie on one, and no way around is the shortest.
    """
    norms = np.linalg.norm(first, axis=1, keepdims=True) * np.linalg.norm(second, axis=1, keepdims=True)
    cosine = (first * second).sum(axis=1, keepdims=True) / np.where(norms, norms, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    straight = (norms == 0) | (sine < 1e-6)
    weights = [np.where(straight, line, np.sin(line * angle) / np.where(straight, 1, sine)) for line in (1 - t, t)]
    return weights[0] * first + weights[1] * second


SWEPT, SWEPT_ROWS = 2.0, 8  # how far a sweep goes, and its rows where no categorical code gives them
CODES = 1 << 20  # streams below hold z and its redraws; codes have their own, so adding one moves no z
REDRAWS = 4096  # how often at most a number outside the threshold is drawn again, before it is clipped
NO_TAILS = "a latent on a sphere has no tails to truncate; leave the truncation out"


def picture_seeds(seed: int, n: int, *, start: int = 0) -> np.ndarray:
    """The seed of each picture of a sample: int64 [n], non-negative."""
    index = np.arange(start, start + n, dtype=np.int64)
    one, two = keys(np.array([_as_int64(seed)]))
    high, low = _mix(_mix(one ^ index) + two), _mix(_mix(two ^ index) + one)
    return ((high >> 1) << 32) | low


def uniforms(seeds: np.ndarray, dim: int, *, stream: int = 0) -> np.ndarray:
    """Numbers in [0, 1): float64 [n, dim], a pure function of (seed, stream, position)."""
    position = np.arange(dim, dtype=np.int64)[None, :]
    return words(*keys(np.asarray(seeds, dtype=np.int64)[:, None]), position, stream) / 2.0**32


def normals(seeds: np.ndarray, dim: int, *, stream: int = 0) -> np.ndarray:
    """Standard normal numbers by Box-Muller: float64 [n, dim]."""
    u = uniforms(seeds, dim + dim % 2, stream=stream)
    radius, angle = np.sqrt(-2 * np.log(u[:, ::2] + 2.0**-33)), 2 * np.pi * u[:, 1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2).reshape(len(u), -1)[:, :dim]


def _bounded_normals(seeds: np.ndarray, dim: int, bound: float | None) -> np.ndarray:
    z = normals(seeds, dim)
    stream = 1
    while bound is not None and (outside := np.abs(z) > bound).any() and stream < REDRAWS:
        z = np.where(outside, normals(seeds, dim, stream=stream), z)
        stream += 1
    return z if bound is None else np.clip(z, -bound, bound)


def _as_int64(seed: int) -> int:
    return (seed + 2**63) % 2**64 - 2**63


def keys(seeds: Integers) -> tuple[Integers, Integers]:
    """Two 32-bit words of each seed: one alone would give two of a hundred thousand pictures the same latent."""
    low, high = seeds & _MASK, (seeds >> 32) & _MASK
    return _mix(low ^ _mix(high ^ 0x9E3779B9)), _mix(high ^ _mix(low ^ 0x85EBCA6B))


def words(one: Integers, two: Integers, position: Integers, stream: Integers | int) -> Integers:
    """32-bit numbers, a pure function of (seed, stream, position): the seeds' keys [n, 1] and positions [1, dim]."""
    return _mix(_mix(_mix(one + stream) ^ position) + two)


def _mix(x: Integers) -> Integers:
    """A bijection of 32-bit numbers kept in int64 (Wellons' `lowbias32`)."""
    x = x & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)
