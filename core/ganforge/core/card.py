"""The card: the JSON inside an exported file that says what it is and how to call it. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ganforge.core.data import DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import NO_TAILS, Latent
from ganforge.core.options import parse

CARD_KEY = "ganforge.card"
VERSION = 1
ANY = -1
Precision = Literal["fp32", "fp16", "int8"]


class CardModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(CardModel):
    """One input of the graph: [N, width], or an `image` [N, width, H, W].

    A `seed` is a picture's own, as `ganforge.core.latents.picture_seeds` gives them, and any int64 is one: the graph
    makes z and the codes of it. A `truncation` belongs to it, or beside z to the network's styles; `default` is the one
    that leaves all as it is. H and W of an image are multiples of `multiple`, and at least `least`.
    """

    name: str
    role: Literal["z", "codes", "label", "seed", "truncation", "noise", "image"]
    dtype: Literal["float32", "int64"]
    width: int = Field(ge=1, le=1 << 20)
    low: float | None = None
    high: float | None = None
    default: float | None = None
    multiple: int = Field(1, ge=1, le=4096)
    least: int = Field(1, ge=1, le=4096)

    @property
    def sizes(self) -> tuple[int, ...]:
        """One sample's shape, with -1 where the caller chooses."""
        return (self.width, ANY, ANY) if self.role == "image" else (self.width,)


class Output(CardModel):
    """One output of the graph; its first axis is the batch. Of a picture it has `scale` times the sides."""

    name: Literal["images", "points"]
    dtype: Literal["float32", "uint8"]
    layout: Literal["NCHW", "NHWC", "NK"]
    low: float | None = None
    high: float | None = None
    scale: int = Field(1, ge=1, le=64)


class Parity(CardModel):
    """The proof: onnxruntime beside torch, in fp32, on the same inputs; differences of values, images' in [-1, 1].

    `tolerance` is what was allowed: of the largest difference in fp32, of the mean one in fp16 and int8. The three are
    of the batch that came nearest to what was allowed there, or went furthest beyond. Of uint8 pixels only what lies
    beyond rounding counts. `sides` are the heights and widths of images that were taken.
    """

    batches: tuple[int, ...]
    max_difference: float
    mean_difference: float | None = None
    tolerance: float
    sides: tuple[tuple[int, int], ...] = ()
    torch: str
    onnxruntime: str


class Score(CardModel):
    """A figure and everything one needs to believe it."""

    name: str
    value: float = Field(allow_inf_nan=False)
    provenance: dict[str, str | int | float]


class Card(CardModel):
    """Version 1 of the schema. A reader refuses a newer version, and a field it does not know.

    `directions` are unit vectors over z along which the pictures change most (SeFa, arXiv 2007.06600), strongest
    first; none where the network has no first layer to take them from.
    """

    version: Literal[1] = 1
    recipe: str
    plugin: str
    paper: str
    architecture: str
    network: str
    data: DataSpec
    dataset: str
    dataset_options: dict[str, bool | int | float | str] = {}
    data_fingerprint: str = ""
    latent: Latent
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    precision: Precision = "fp32"
    directions: tuple[tuple[float, ...], ...] = ()
    rounds: int
    images_seen: int
    config_sha256: str
    ganforge: str
    parity: Parity | None = None
    scores: tuple[Score, ...] = ()

    @model_validator(mode="after")
    def _widths_follow_the_latent(self) -> Self:
        widths = {"z": self.latent.dim, "codes": self.latent.codes, "label": 1, "seed": 1, "truncation": 1}
        for one in self.inputs:
            if one.width != widths.get(one.role, one.width):
                raise ValueError(f"input '{one.name}' is {one.width} wide, and should be {widths[one.role]}")
        if any(len(direction) != self.latent.dim for direction in self.directions):
            raise ValueError(f"a direction is not {self.latent.dim} numbers")
        return self

    @model_validator(mode="after")
    def _inputs_can_be_filled(self) -> Self:
        roles = {one.role for one in self.inputs}
        if "z" in roles and self.latent.codes and "codes" not in roles:
            raise ValueError("there are codes in the latent, and no input takes them")
        if "label" in roles and not self.data.classes:
            raise ValueError("there is an input for labels, and no classes")
        if self.image is not None and self.data.kind != "images":
            raise ValueError("there is an input for pictures, and the data is none")
        if any(one.role == "truncation" and one.default is None for one in self.inputs):
            raise ValueError("there is an input for the truncation, and no default")
        return self

    @model_validator(mode="after")
    def _scales_are_of_pictures(self) -> Self:
        for one in self.outputs:
            if one.scale > 1 and self.image is None:
                raise ValueError(f"output '{one.name}' is {one.scale} times as large as a picture, and there is none")
            if any(side % one.scale for side in self.data.shape[1:]):
                raise ValueError(f"output '{one.name}' is {one.scale} times as large as no picture of training can be")
        return self

    @property
    def labelled(self) -> bool:
        """Whether every sample is of a class the caller chooses."""
        return any(one.role == "label" for one in self.inputs)

    @property
    def seeded(self) -> bool:
        """Whether the graph makes its own latents, out of seeds."""
        return any(one.role == "seed" for one in self.inputs)

    @property
    def image(self) -> Input | None:
        """The input for pictures, of a model that translates them."""
        return next((one for one in self.inputs if one.role == "image"), None)

    @property
    def styled(self) -> bool:
        """Whether the graph is given latents and truncates by itself, in its styles."""
        return not self.seeded and any(one.role == "truncation" for one in self.inputs)

    @property
    def scale(self) -> int:
        """How many times the sides of a picture its translation has."""
        return self.outputs[0].scale

    @property
    def trained_sides(self) -> tuple[int, int]:
        """Height and width of the pictures to translate in training."""
        height, width = self.data.shape[1:]
        return height // self.scale, width // self.scale

    def sizes(self, output: Output) -> tuple[int, ...]:
        """One sample's shape as an output has it, with -1 where that follows from the input's."""
        shape = self.data.shape if self.image is None else (self.data.shape[0], ANY, ANY)
        return (*shape[1:], *shape[:1]) if output.layout == "NHWC" else shape

    def translated(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what is made of pictures of this one, [N, C, H, W]."""
        n, channels, *sides = shape
        height, width = (self.scale * side for side in sides)
        return (n, height, width, channels) if self.outputs[0].layout == "NHWC" else (n, channels, height, width)

    def feed(
        self, latents: np.ndarray, labels: np.ndarray | None = None, *, truncation: float | None = None
    ) -> dict[str, np.ndarray]:
        """What the graph is called with: latents [N, latent.width] and labels int64 [N], cut into its inputs.

        `truncation` is for a graph that is `styled`.

        Raises:
            GanforgeError: the graph has an input that neither of the two can fill.
        """
        values = {"z": latents[:, : self.latent.dim], "codes": latents[:, self.latent.dim :]}
        return self._fill(values, labels, truncation)

    def feed_seeds(
        self, seeds: np.ndarray, labels: np.ndarray | None = None, *, truncation: float | None = None
    ) -> dict[str, np.ndarray]:
        """The same for pictures by their seeds, int64 [N], whether the graph makes their latents or is given them.

        Raises:
            GanforgeError: an input that nothing here fills, or latents that cannot be truncated.
        """
        if self.seeded:
            return self._fill({"seed": seeds[:, None]}, labels, truncation)
        if self.styled:
            return self.feed(self.latent.from_seeds(seeds), labels, truncation=truncation)
        return self.feed(self.latent.from_seeds(seeds, truncation=truncation), labels)

    def feed_images(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The same for pictures [N, C, H, W] in [-1, 1] to translate."""
        return self._fill({"image": images}, None, None)

    def example(self, n: int) -> dict[str, np.ndarray]:
        """Something that the graph takes, n rows of it."""
        if self.image is None:
            return self.feed_seeds(np.arange(n), np.zeros(n, np.int64) if self.labelled else None)
        side = self.image.multiple * max(2, -(-self.image.least // self.image.multiple))
        return self.feed_images(np.zeros((n, self.image.width, side, side)))

    def _fill(
        self, values: dict[str, np.ndarray], labels: np.ndarray | None, truncation: float | None
    ) -> dict[str, np.ndarray]:
        defaults = [one.default for one in self.inputs if one.role == "truncation"]
        if truncation is not None and not defaults:
            raise GanforgeError(NO_TAILS)
        if defaults:
            n = len(next(iter(values.values())))
            values["truncation"] = np.full((n, 1), defaults[0] if truncation is None else truncation)
        if labels is not None:
            values["label"] = labels[:, None]
        for one in self.inputs:
            if one.role not in values:
                raise GanforgeError(f"the model needs an input '{one.name}', which nothing here gives")
        return {one.name: np.ascontiguousarray(values[one.role], dtype=one.dtype) for one in self.inputs}


def parse_card(text: str, where: str) -> Card:
    """The card in the text that `where`, a file, carries.

    Raises:
        GanforgeError: not a card, or of a newer version than this.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise GanforgeError(f"the card in {where} is damaged; export the model again")
    version = values.get("version")
    if isinstance(version, int) and version > VERSION:
        raise GanforgeError(
            f"the card in {where} has version {version}, and this ganforge reads up to {VERSION}: upgrade it"
        )
    try:
        return parse(Card, values, "card")
    except GanforgeError as error:
        raise GanforgeError(f"the card in {where} cannot be read: {error}") from None
