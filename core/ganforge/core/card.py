"""The card: the JSON inside an exported file that says what it is and how to call it. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ganforge.core.data import DataSpec
from ganforge.core.latents import Latent

CARD_KEY = "ganforge.card"


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
    value: float
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
    latent: Latent
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    rounds: int
    images_seen: int
    config_sha256: str
    ganforge: str
    parity: Parity | None = None
    scores: tuple[Score, ...] = ()
