"""`ganforge arithmetic`: sums and differences of pictures, as of smiling women, women and men.

Radford, Metz and Chintala 2016 (DCGAN, arXiv 1511.06434, section 6.3.2): sums of single latents were unstable, those of
the means of three latents each were not. The picture has both, each with eight more around it by noise of ±0.25.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ganforge.cli.explore.places import (
    InSpace,
    Label,
    Pictures,
    Source,
    Space,
    Truncation,
    check_out,
    find,
    open_images,
)
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Generator, picture_seeds, uniforms
from ganforge.core.pictures import beside, grid, save_picture, to_pixels

NOISE = 0.25
AROUND = 8

Term = tuple[int, Pictures]
"""1 or -1, and the exemplars."""


def arithmetic(
    source: Source,
    plus: Annotated[list[str], typer.Option(help="Exemplars to add: the mean of 1,2,3. May come again.")],
    minus: Annotated[list[str] | None, typer.Option(help="Exemplars to take away. May come again.")] = None,
    noise: Annotated[float, typer.Option(min=0, help="How far around the result the others lie.")] = NOISE,
    seed: Annotated[int, typer.Option(help="Of that noise.")] = 0,
    label: Label = None,
    truncation: Truncation = None,
    space: Space = InSpace.z,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png.")] = Path("arithmetic.png"),
) -> None:
    """Add and subtract pictures by their latents.

    On the left a row for each term, its exemplars and their mean. Then the result, in the middle of its neighbours: of
    the first exemplars alone and, on the right, of the means. Exemplars are named as SEED, SEED:NUMBER or a latent's
    .json; look for them with `ganforge sample --seed SEED`.

    Example: ganforge arithmetic face.onnx --plus 1:3,1:9,2:4 --minus 1:5,2:7,2:8 --plus 1:2,2:2,3:6 -o sum.png
    """
    check_out(out)
    generator = open_images(source, truncation, space)
    added = [(1, find(generator, text, "--plus", label)) for text in plus]
    terms = [*added, *((-1, find(generator, text, "--minus", label)) for text in minus or [])]
    if len(terms) < 2:
        raise GanforgeError("one term is no sum; add a --minus or another --plus")
    save_picture(draw(generator, terms, noise, seed), out)
    typer.echo(f"{' '.join('+-'[sign < 0] + str(len(one[0])) for sign, one in terms)} exemplars in {out}")


def result(generator: Generator, terms: Sequence[Term], *, first: bool = False) -> np.ndarray:
    """The sum of the terms' means, or of their `first` exemplars: float32 [1, width].

    On a sphere it is brought back to it. A sum of normal latents is not: that of three means of three is as long as a
    sample is, that of three single ones √3 times as long.
    """
    total = sum(sign * (latents[:1] if first else latents).mean(axis=0) for sign, (latents, _) in terms)
    assert isinstance(total, np.ndarray)
    return generator.latent.projected(total[None])


def around(generator: Generator, latent: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """A latent [1, width] in the middle of eight: float32 [9, width]. Their z differ by uniform noise of ±`noise`."""
    nine = latent.repeat(AROUND + 1, axis=0)
    z = slice(generator.latent.dim)
    moved = np.delete(np.arange(AROUND + 1), AROUND // 2)
    nine[moved, z] += noise * (2 * uniforms(picture_seeds(seed, AROUND), generator.latent.dim) - 1)
    return generator.latent.projected(nine)


def draw(generator: Generator, terms: Sequence[Term], noise: float, seed: int) -> np.ndarray:
    """Exemplars and results as one picture, uint8 [h, w, C]; where no term has several, there are no means to show.

    Means and results are of their first exemplar's class.
    """
    averaged = any(len(one[0]) > 1 for _, one in terms)
    rows = [_row(generator, one, averaged) for _, one in terms]
    numbers = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    blocks = [grid(np.concatenate(rows), 1, numbers)]
    labels = terms[0][1][1]
    for single in (True, False)[: 1 + averaged]:
        nine = around(generator, result(generator, terms, first=single), noise, seed)
        blocks.append(grid(_pixels(generator, nine, None if labels is None else labels[:1].repeat(len(nine))), 3))
    return beside(blocks)


def _row(generator: Generator, exemplars: Pictures, averaged: bool) -> np.ndarray:
    """A term's exemplars and, at the end, their mean: uint8 [n, H, W, C]."""
    latents, labels = exemplars
    if not averaged:
        return _pixels(generator, latents, labels)
    mean = result(generator, [(1, exemplars)])
    return _pixels(generator, np.concatenate([latents, mean]), None if labels is None else np.append(labels, labels[0]))


def _pixels(generator: Generator, latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    return to_pixels(generator.make(latents, labels))
