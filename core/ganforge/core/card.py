"""The card: the JSON inside an exported file that says what it is and how to call it. Imports no torch."""

from __future__ import annotations

import json
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ganforge.core.data import DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Latent
from ganforge.core.options import parse

CARD_KEY = "ganforge.card"
VERSION = 1


class CardModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(CardModel):
    """One input of the graph, always [N, width]."""

    name: str
    role: Literal["z", "codes", "label", "truncation", "noise"]
    dtype: Literal["float32", "int64"]
    width: int = Field(ge=1)
    low: float | None = None
    high: float | None = None
    default: float | None = None


class Output(CardModel):
    """One output of the graph; its first axis is the batch."""

    name: Literal["images", "points"]
    dtype: Literal["float32", "uint8"]
    layout: Literal["NCHW", "NHWC", "NK"]
    low: float | None = None
    high: float | None = None


class Parity(CardModel):
    """The proof: onnxruntime beside torch on the same inputs."""

    batches: tuple[int, ...]
    max_difference: float
    tolerance: float
    torch: str
    onnxruntime: str


class Score(CardModel):
    """A figure and everything one needs to believe it."""

    name: str
    value: float = Field(allow_inf_nan=False)
    provenance: dict[str, str | int | float]


class Card(CardModel):
    """Version 1 of the schema. A reader refuses a newer version."""

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
    rounds: int
    images_seen: int
    config_sha256: str
    ganforge: str
    parity: Parity | None = None
    scores: tuple[Score, ...] = ()

    @model_validator(mode="after")
    def _widths_follow_the_latent(self) -> Self:
        widths = {"z": self.latent.dim, "codes": self.latent.codes, "label": 1}
        for one in self.inputs:
            if one.width != widths.get(one.role, one.width):
                raise ValueError(f"input '{one.name}' is {one.width} wide, and should be {widths[one.role]}")
        return self

    @property
    def labelled(self) -> bool:
        """Whether every sample is of a class the caller chooses."""
        return any(one.role == "label" for one in self.inputs)

    def feed(self, latents: np.ndarray, labels: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """What the graph is called with: latents [N, latent.width] and labels int64 [N], cut into its inputs.

        Raises:
            GanforgeError: the graph has an input that neither of the two can fill.
        """
        values = {"z": latents[:, : self.latent.dim], "codes": latents[:, self.latent.dim :]}
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
