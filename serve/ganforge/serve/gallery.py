"""Pictures for people: `GET /images` for an address bar or an `<img>`, and the page to play with."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np

from ganforge.core.errors import unknown
from ganforge.serve import drawing as draw
from ganforge.serve.drawing import FORMATS, Drawing
from ganforge.serve.errors import Busy, Refused
from ganforge.serve.http import Answer, Request, as_float, as_json, number, whole_number
from ganforge.serve.limits import Limits
from ganforge.serve.protocol import Names, check_pixels
from ganforge.serve.repository import Repository, Served

T = TypeVar("T")
PARAMETERS = {
    "model": "which model; by default the first",
    "version": "which version; by default the highest",
    "seed": "the same seed gives the same pictures",
    "n": "how many, by default 1",
    "start": "the number of the first picture of the seed",
    "to": "another seed: n steps on the way to its first picture",
    "label": "a class, by name or number; by default every class in turn",
    "truncation": "keep latents below this: less variety, fewer oddities",
    "shift": "move along directions, as in 0:1.5,3:-2",
    "columns": "pictures in a row",
    "format": "png, webp or jpeg",
}
"""What may stand in the address of `/images`."""

SEEDS = 2**63 - 1
LEAST_TRUNCATION = 0.05
"""Below, so few draws stay within bounds that drawing them costs more than the network."""
FARTHEST = 10.0
CLASSES = 1000
"""So many classes a menu can hold; of more, the page is told none."""


class Gallery:
    """Draws for people what the protocol gives to programs; both share a model's queue."""

    def __init__(self, repository: Repository, limits: Limits) -> None:
        self._repository, self._limits = repository, limits
        self._painters = ThreadPoolExecutor(2, thread_name_prefix="ganforge-draw")
        self._open = 0
        self._page = files("ganforge.serve").joinpath("page.html").read_bytes()

    async def page(self, request: Request, names: Names) -> Answer:
        return Answer(self._page, "text/html; charset=utf-8", headers={"content-security-policy": POLICY})

    async def models(self, request: Request, names: Names) -> Answer:
        """What the page offers for each model that draws of seeds."""
        return as_json([_described(one, self._limits) for one in self._drawers()])

    async def images(self, request: Request, names: Names) -> Answer:
        values = request.query(*PARAMETERS)
        drawing = self._drawing(values)
        served = self._served(values)
        self._check_size(drawing, served)
        await request.body()  # whatever a stranger sends with it
        if self._open >= self._limits.max_queue:
            raise Busy("too many pictures are being drawn")
        self._open += 1
        try:
            content = await request.unless_gone(self._drawn(drawing, served, request.deadline))
        finally:
            self._open -= 1
        return Answer(content, FORMATS[drawing.format], headers={"cache-control": "no-cache"})

    async def _drawn(self, drawing: Drawing, served: Served, deadline: float) -> bytes:
        feed = await self._elsewhere(functools.partial(draw.feed, drawing, served.card), deadline)
        most = served.batcher.usual_batch
        pieces = [
            await served.batcher.run({name: rows[at : at + most] for name, rows in feed.items()}, deadline)
            for at in range(0, drawing.n, most)
        ]
        encoded = functools.partial(draw.encoded, drawing, served.card, np.concatenate(pieces))
        return await self._elsewhere(encoded, deadline)

    async def _elsewhere(self, work: Callable[[], T], deadline: float) -> T:
        """In a thread of its own: drawing latents and packing pictures would keep everybody else waiting.

        Raises:
            Busy: the deadline came first; work that has not begun by then is left out.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.get_running_loop().run_in_executor(self._painters, work)
        except TimeoutError:
            raise Busy("there was no time for this request") from None

    def _served(self, values: Mapping[str, str]) -> Served:
        name = values.get("model") or self._first()
        served = self._repository.get(name, values.get("version", ""))
        if served.card.image is not None:
            raise Refused(400, f"'{name}' translates pictures and draws none of seeds: POST them to its infer")
        return served

    def _first(self) -> str:
        drawers = self._drawers()
        if not drawers:
            raise Refused(
                404, "no model is loaded that draws of seeds" if self._repository.loaded() else "no model is loaded"
            )
        return drawers[0].name

    def _drawers(self) -> list[Served]:
        """The models that make pictures of latents, and not of other pictures."""
        return [one for one in self._repository.loaded() if one.card.image is None]

    def _drawing(self, values: Mapping[str, str]) -> Drawing:
        if (format_ := values.get("format") or "png") not in FORMATS:
            raise unknown("format", format_[:40], FORMATS)
        n = whole_number(values, "n", 1, 1, self._limits.max_queue)
        return Drawing(
            n=n,
            seed=whole_number(values, "seed", 0, -SEEDS, SEEDS),
            start=whole_number(values, "start", 0, 0, 2**31),
            to=whole_number(values, "to", 0, -SEEDS, SEEDS) if values.get("to") else None,
            label=values.get("label") or None,
            truncation=number(values, "truncation", LEAST_TRUNCATION, 1000),
            shifts=_shifts(values.get("shift", "")),
            columns=whole_number(values, "columns", 1, 1, n) if values.get("columns") else None,
            format=format_,
        )

    def _check_size(self, drawing: Drawing, served: Served) -> None:
        """The grid counts as it is drawn: small pictures are enlarged."""
        check_pixels(drawing.n, served.card.data.shape[1:], self._limits.max_pixels)
        if drawing.n * 66 * 66 > self._limits.max_pixels:
            raise Refused(400, f"a grid of {drawing.n} is more than the {self._limits.max_pixels} pixels allowed")


POLICY = (
    "default-src 'none'; img-src blob: data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""The page reaches this server and nothing else, and nobody may frame it."""


def _described(served: Served, limits: Limits) -> dict[str, Any]:
    card = served.card
    roles = {one.role for one in card.inputs}
    return {
        "name": served.name,
        "version": served.version,
        "recipe": card.recipe,
        "data": str(card.data),
        "kind": card.data.kind,
        "classes": list(card.data.classes[:CLASSES]) if card.labelled else [],
        "truncates": "truncation" in roles or ("z" in roles and card.latent.name != "sphere"),
        "interpolates": "z" in roles,
        "directions": len(draw.directions(card)),
        "most": max(1, min(limits.max_queue, limits.max_pixels // max(66 * 66, math.prod(card.data.shape[1:])))),
    }


def _shifts(text: str) -> dict[int, float]:
    """`0:1.5,3:-2` as direction to distance."""
    shifts: dict[int, float] = {}
    for part in text.split(",") if text else []:
        which, _, far = part.partition(":")
        value = as_float(far)
        if not (which.isascii() and which.isdecimal() and len(which) < 6) or not -FARTHEST <= value <= FARTHEST:
            raise Refused(400, f"shift takes DIRECTION:DISTANCE, distances up to {FARTHEST:g}, not '{part[:40]}'")
        shifts[int(which)] = value
    return shifts
