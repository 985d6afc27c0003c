"""Where randomness comes from: every number is a pure function of (seed, round, player, move, name).

Adding a trick shifts no other's stream, no generator state needs saving, and because numbers are drawn for the
global batch and then cut by rank, N processes see the data of one.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganforge.core import distributed
from ganforge.core.data import Data
from ganforge.core.latents import Latent


def hash64(*key: object) -> int:
    """A 63-bit number from any key: the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "little") >> 1


class Batch(NamedTuple):
    """Real samples as networks see them (float32 [n, *shape]) and their classes (int64 [n])."""

    samples: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class Draw:
    """The randomness of one move, or of a piece of it. `n` is this process's share of the batch (or piece)."""

    seed: int
    round: int
    player: str
    move: int
    n: int
    device: torch.device
    stream: Stream
    position: int  # how many moves this player made before: which batch of real data it gets
    scope: str = ""
    piece: int = 0  # of the batch's pieces, whose gradients add up
    pieces: int = 1

    @property
    def share(self) -> int:
        """Which of the global batch's shares, `n` rows each, this process's piece is."""
        return distributed.rank() * self.pieces + self.piece

    @property
    def shares(self) -> int:
        return distributed.world() * self.pieces

    def scoped(self, scope: str) -> Draw:
        """The same move's randomness for somebody else: an effect, a duel."""
        return replace(self, scope=f"{self.scope}{scope}/")

    def key(self, name: str) -> int:
        return hash64(self.seed, self.round, self.player, self.move, self.scope + name)

    def generator(self, name: str) -> torch.Generator:
        """A generator for draws that are not one per sample; the same in every process."""
        return torch.Generator(self.device).manual_seed(self.key(name))

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal [n, *shape], this process's rows of the global batch."""
        return self._rows(torch.randn(self._global(shape), generator=self.generator(name), device=self.device))

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform on [0, 1), [n, *shape]."""
        return self._rows(torch.rand(self._global(shape), generator=self.generator(name), device=self.device))

    def integers(self, name: str, high: int, *shape: int) -> Tensor:
        """Integers in [0, high), int64 [n, *shape]."""
        drawn = torch.randint(high, self._global(shape), generator=self.generator(name), device=self.device)
        return self._rows(drawn)

    def latent(self, latent: Latent, name: str = "latent") -> Tensor:
        """What a generator gets: z, then its codes; float32 [n, latent.width]."""
        if latent.name == "uniform":
            z = 2 * self.uniform(name, latent.dim) - 1
        elif latent.name == "truncated-normal":
            z = self._truncated_normal(name, latent)
        elif latent.name == "sphere":
            z = torch.nn.functional.normalize(self.normal(name, latent.dim)) * latent.dim**0.5
        else:
            z = self.normal(name, latent.dim)
        codes = [
            torch.nn.functional.one_hot(self.integers(f"{name}/category{i}", k), k).float()
            for i, k in enumerate(latent.categorical)
        ]
        if latent.continuous:
            codes.append(2 * self.uniform(f"{name}/continuous", latent.continuous) - 1)
        return torch.cat([z, *codes], dim=1) if codes else z

    def batch(self, indices: np.ndarray | None = None) -> Batch:
        """Real samples: the next `n` of the player's order, or those that `indices` number in the data set."""
        return self.stream.batch(self, indices)

    def _truncated_normal(self, name: str, latent: Latent) -> Tensor:
        z = torch.empty(self._global((latent.dim,)), device=self.device)
        bound = latent.truncation
        return self._rows(torch.nn.init.trunc_normal_(z, a=-bound, b=bound, generator=self.generator(name)))

    def _global(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.n * self.shares, *shape)

    def _rows(self, drawn: Tensor) -> Tensor:
        start = self.n * self.share
        return drawn[start : start + self.n]


AHEAD = 8
"""Batches that are held before anybody asks for them: one for each order that is followed, of which there are few."""


class Stream:
    """Real batches in an order that is a pure function of (seed, player, position): shuffled anew each epoch."""

    def __init__(self, data: Data, seed: int, *, flip: bool = False, channels_last: bool = False) -> None:
        self.data, self.seed, self.flip = data, seed, flip
        self.layout = torch.channels_last if channels_last and data.spec.kind == "images" else torch.contiguous_format
        self._orders: dict[tuple[str, int], np.ndarray] = {}
        self._ahead: dict[tuple[str, int], Future[tuple[np.ndarray, np.ndarray | None]]] = {}
        # Data that has to be read and decoded is fetched one batch ahead; memory is fast enough as it is.
        self._pool = ThreadPoolExecutor(1) if getattr(data, "lazy", False) else None

    def batch(self, draw: Draw, indices: np.ndarray | None = None) -> Batch:
        samples, labels = self._fetch(draw) if indices is None else self.data.fetch(indices)
        tensor = torch.from_numpy(np.ascontiguousarray(samples)).to(draw.device, non_blocking=True)
        if tensor.dtype == torch.uint8:
            tensor = tensor.float().div_(127.5).sub_(1)
        if self.flip:
            mirror = draw.uniform("data/flip") < 0.5
            tensor = torch.where(mirror[:, None, None, None], tensor.flip(3), tensor)
        label = None if labels is None else torch.from_numpy(labels).to(draw.device, non_blocking=True)
        return Batch(tensor.contiguous(memory_format=self.layout), label)

    def indices(self, player: str, place: int, n: int) -> np.ndarray:
        """Which samples the `n` rows are that come after `place` times `n` others in the player's order.

        int64 [n]; [n, domains] of data in which each domain has an order of its own.
        """
        sizes: tuple[int, ...] | None = getattr(self.data, "sizes", None)
        if sizes is None:
            return self._rows(player, len(self.data), place, n)
        columns = [self._rows(f"{player}/{domain}", size, place, n) for domain, size in enumerate(sizes)]
        return np.stack(columns, axis=1)

    def _rows(self, order: str, size: int, place: int, n: int) -> np.ndarray:
        first = place * n
        epochs, places = np.divmod(np.arange(first, first + n), size)
        return np.concatenate([self._order(order, size, int(e))[places[epochs == e]] for e in np.unique(epochs)])

    def _fetch(self, draw: Draw) -> tuple[np.ndarray, np.ndarray | None]:
        place = draw.position * draw.shares + draw.share
        if self._pool is None:
            return self.data.fetch(self.indices(draw.player, place, draw.n))
        # The next batch is this process's next piece of the move, or the first of the next move.
        after = place + 1 if draw.piece + 1 < draw.pieces else place + 1 + draw.shares - draw.pieces
        wanted = self._ahead.pop((draw.player, place), None)
        self._ahead[draw.player, after] = self._pool.submit(self.data.fetch, self.indices(draw.player, after, draw.n))
        while len(self._ahead) > AHEAD:  # the order was taken up elsewhere: the oldest will not be asked for
            del self._ahead[next(iter(self._ahead))]
        return wanted.result() if wanted else self.data.fetch(self.indices(draw.player, place, draw.n))

    def _order(self, player: str, size: int, epoch: int) -> np.ndarray:
        if (player, epoch) not in self._orders:
            # At most two epochs of a player are alive: the one that ends in a batch and the one that begins.
            self._orders = {k: v for k, v in self._orders.items() if k[0] != player or k[1] == epoch - 1}
            seed = hash64(self.seed, "order", player, epoch)
            self._orders[player, epoch] = np.random.Generator(np.random.PCG64(seed)).permutation(size)
        return self._orders[player, epoch]
