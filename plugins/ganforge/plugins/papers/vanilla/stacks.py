"""The layers of `mlp`, as data: three classic tutorials' networks, and a plain one for any size of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ganforge.core import Options

StackName = Literal["plain", "sheet", "zoo", "tutorial"]


class Layers(Options):
    """The hidden layers of one network: each is linear, then norm (but in the first), LeakyReLU, dropout."""

    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (128, 128, 128), min_length=1, description="widths of the hidden layers"
    )
    leak: float = Field(0.0, ge=0, le=1, description="LeakyReLU's slope below zero; 0 is ReLU")
    dropout: float = Field(0.0, ge=0, lt=1, description="after every hidden layer")
    norm: Literal["none", "batch"] = Field("none", description="batch: from the second hidden layer on")
    norm_eps: float = Field(1e-5, gt=0, description="what batch norm adds to the variance")


class Stack(Options):
    """Both networks' hidden layers."""

    generator: Layers
    discriminator: Layers


STACKS: dict[str, Stack] = {
    "plain": Stack(generator=Layers(), discriminator=Layers(leak=0.2)),
    "sheet": Stack(
        generator=Layers(hidden=(256, 512, 1024), leak=0.2),
        discriminator=Layers(hidden=(1024, 512, 256), leak=0.2, dropout=0.3),
    ),
    # The PyTorch-GAN zoo's code says BatchNorm1d(width, 0.8). It may have meant the momentum, but the second
    # argument is eps: 0.8 added to the variance is what everybody who ran it trained with, so it stands here.
    "zoo": Stack(
        generator=Layers(hidden=(128, 256, 512, 1024), leak=0.2, norm="batch", norm_eps=0.8),
        discriminator=Layers(hidden=(512, 256), leak=0.2),
    ),
    "tutorial": Stack(
        generator=Layers(hidden=(128,), leak=0.01, dropout=0.5),
        discriminator=Layers(hidden=(128,), leak=0.01, dropout=0.5),
    ),
}


class MlpOptions(Options):
    """A stack by name; what is given in `generator` and `discriminator` beside it takes the stack's place."""

    stack: StackName = Field("plain", description="whose layers to start from")
    generator: Layers = STACKS["plain"].generator
    discriminator: Layers = STACKS["plain"].discriminator

    @model_validator(mode="before")
    @classmethod
    def _start_from_stack(cls, values: Any) -> Any:
        """Fill in from the named stack what was not given; wrong names and types are left to the fields."""
        stack = STACKS.get(str(values.get("stack", "plain")))
        if stack is None:
            return values
        filled = dict(values)
        for side, layers in stack.model_dump().items():
            given = values.get(side, {})
            filled[side] = {**layers, **given} if isinstance(given, Mapping) else given
        return filled
