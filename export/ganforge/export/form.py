"""In what form a generator is exported: what the file takes, what it gives, how precisely it computes."""

from __future__ import annotations

from typing import Literal

from ganforge.core.card import Input, Output, Precision
from ganforge.core.data import DataSpec
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Latent
from ganforge.core.options import Options

FARTHEST = 7.0
"""No number of Box and Muller's lies further out: √(2 log 2³³) is 6.8. A truncation here leaves all as it is."""
NEAREST = 0.01
"""The smallest truncation worth the redraws, which at this one are hundreds."""
UNTRUNCATED = 1.0
"""The ψ that leaves styles as they are."""


class Form(Options):
    """`inputs` and `pixels` are the file's two ends, `precision` that of its weights and of what it computes."""

    inputs: Literal["z", "seed"] = "z"
    pixels: Literal["float32", "uint8"] = "float32"
    precision: Precision = "fp32"

    def inputs_of(self, latent: Latent, classes: int, *, styled: bool = False) -> tuple[Input, ...]:
        """The graph's inputs, in order; `classes` is 0 where it takes no labels. A `styled` network truncates itself,
        and what makes the latents then leaves them whole."""
        inputs = _seeded() if self.inputs == "seed" else _given(latent)
        default = UNTRUNCATED if styled else farthest(latent) if self.inputs == "seed" else None
        if default is not None:
            least = min(NEAREST, default)
            inputs.append(
                Input(name="truncation", role="truncation", dtype="float32", width=1, low=least, default=default)
            )
        if classes:
            inputs.append(Input(name="label", role="label", dtype="int64", width=1, low=0, high=classes - 1))
        return tuple(inputs)

    def image_of(self, channels: int, multiple: int, least: int) -> tuple[Input, ...]:
        """The one input of a graph that translates pictures.

        Raises:
            GanforgeError: seeds, of which there are no pictures to translate; int8, which would have to see some.
        """
        if self.inputs == "seed" or self.precision == "int8":
            what = "makes nothing of seeds" if self.inputs == "seed" else "is not offered in int8"
            raise GanforgeError(f"a network that translates pictures {what}; leave that out")
        image = Input(name="image", role="image", dtype="float32", width=channels, low=-1, high=1)
        return (image.model_copy(update={"multiple": multiple, "least": least}),)

    def output_of(self, data: DataSpec, scale: int = 1) -> Output:
        """The graph's output, of `scale` times the sides of what it translates.

        Raises:
            GanforgeError: pixels of points.
        """
        if data.kind == "points":
            if self.pixels == "uint8":
                raise GanforgeError(f"there are no pixels in {data}; leave them float32")
            return Output(name="points", dtype="float32", layout="NK")
        if self.pixels == "uint8":
            return Output(name="images", dtype="uint8", layout="NHWC", low=0, high=255, scale=scale)
        return Output(name="images", dtype="float32", layout="NCHW", low=-1, high=1, scale=scale)


def _given(latent: Latent) -> list[Input]:
    bound = {"uniform": 1.0, "truncated-normal": latent.truncation}.get(latent.name)
    low = None if bound is None else -bound
    inputs = [Input(name="z", role="z", dtype="float32", width=latent.dim, low=low, high=bound)]
    if latent.codes:
        inputs.append(Input(name="codes", role="codes", dtype="float32", width=latent.codes, low=-1, high=1))
    return inputs


def _seeded() -> list[Input]:
    return [Input(name="seed", role="seed", dtype="int64", width=1)]


def farthest(latent: Latent) -> float | None:
    """The truncation that leaves all of a latent as it is. None for a sphere, which has no tails; of any other the
    graph redraws as the host does."""
    return {"normal": FARTHEST, "truncated-normal": latent.truncation, "uniform": 1.0, "sphere": None}[latent.name]
