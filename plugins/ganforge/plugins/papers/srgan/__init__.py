"""SRGAN (Ledig et al. 2016, arXiv 1609.04802): pictures of twice or four times the side, sharp rather than averaged.

The low-resolution picture is made from the real one (game.py: the losses of section 2.2; networks.py: figure 4). The
generator first learns on pixels alone (SRResNet), then with features and the critic as well. What the content loss
compares is a choice: an extractor of this house, or VGG19 from a local file (features.py).

There is no latent: an exported file takes pictures of any size (`ganforge translate`). The run's pictures show, of
held-out ones, what was learned: small, bicubic, enlarged, real. Labels, if wanted, are the critic's alone.

Deviations: pixels count beside features where these are an extractor's, which tell little of places (VGG19's stand
alone, as in the paper); small pictures by anti-aliased bicubic interpolation; 100,000 rounds of one learning rate, half
of them of pixels alone, where the paper has a million of those and then twice 100,000, the last at a tenth of the
rate; tanh at the output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ganforge.core import Architecture, Built, DataSpec, GanforgeError, Options, Recipe, hookimpl
from ganforge.plugins.blocks.settings import players

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Parts

PAPER = "1609.04802"
Factor = Literal[2, 4]


class SrResNetOptions(Options):
    """Figure 4's numbers."""

    factor: Factor = Field(4, description="r, how much longer the sides become")
    width: int = Field(64, ge=1, le=1024, description="channels of the generator")
    blocks: int = Field(16, ge=1, le=128, description="B, residual blocks of the generator")
    critic_width: int = Field(64, ge=1, le=1024, description="channels of the discriminator's first maps")
    dense: int = Field(1024, ge=1, le=65536, description="units of the discriminator's hidden dense layer")


class SrganOptions(Options):
    """The factor, and what the generator's loss is made of."""

    factor: Factor = Field(4, description="r, how much longer the sides become")
    warmup: float = Field(0.5, ge=0, lt=1, description="share of the rounds in which G alone learns, on pixels")
    pixels: float = Field(1.0, ge=0, description="weight of the squared error of pixels; with vgg 0, as in the paper")
    content: float = Field(1.0, ge=0, description="weight of the squared error of features")
    adversarial: float = Field(1e-3, ge=0, description="weight of the loss against the critic")
    features: str = Field("classifier", description="the extractor whose features are compared, where vgg is not given")
    vgg: str | None = Field(None, description="a local file of torchvision's VGG19 weights; its features then")
    vgg_sha256: str | None = Field(None, description="of that file; needed with it")

    @model_validator(mode="before")
    @classmethod
    def _features_of_vgg_alone(cls, values: Any) -> Any:
        return {"pixels": 0.0, **values} if isinstance(values, dict) and values.get("vgg") else values

    @model_validator(mode="after")
    def _known_weights(self) -> SrganOptions:
        if self.vgg and not self.vgg_sha256:
            raise ValueError("vgg needs vgg_sha256, the sha256 of the weights file, so that a run can be trained again")
        return self


def build(options: SrResNetOptions, built: Built) -> Any:
    from ganforge.plugins.papers.srgan import networks

    return networks.build(options, built)


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.srgan.game import SrganGame

    return SrganGame(parts)


def check_data(data: DataSpec, factor: int) -> None:
    """Refuse what has no low-resolution pictures.

    Raises:
        GanforgeError: points, or sides that the factor does not divide.
    """
    if data.kind != "images":
        raise GanforgeError(f"super-resolution is of images, not {data}")
    _, height, width = data.shape
    if height % factor or width % factor:
        raise GanforgeError(f"a factor of {factor} does not divide {height}×{width}; choose other sides: --resolution")


def settings(options: SrganOptions, data: DataSpec) -> dict[str, Any]:
    """Section 3.2: batches of 16, Adam 1e-4 with β₁ = 0.9; no average of weights."""
    check_data(data, options.factor)
    return {
        "architecture": {"name": "srresnet", "factor": options.factor},
        "loss": "non-saturating",
        **players(optimizer="adam", lr=1e-4, betas=(0.9, 0.999)),
        "ema": {"decay": 0.0},
        "batch_size": 16,
        "steps": 100_000,
        "samples": 16,
    }


@hookimpl
def ganforge_architectures() -> list[Architecture[Any]]:
    return [
        Architecture(
            name="srresnet",
            summary="residual blocks and pixel shuffle, which enlarge pictures; sides that the factor divides",
            paper=PAPER,
            options=SrResNetOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="srgan",
            summary="super-resolution: pictures of twice or four times the side",
            paper=PAPER,
            options=SrganOptions,
            settings=settings,
            game=build_game,
            small={
                "architecture": {"width": 8, "blocks": 2, "critic_width": 4, "dense": 16},
                "recipe": {"features": "random-smoke-test"},
                "batch_size": 8,
            },
        )
    ]
