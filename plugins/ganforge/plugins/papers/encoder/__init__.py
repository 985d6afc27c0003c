"""An encoder for a generator that is trained already (Zhu et al. 2016, arXiv 1609.03552).

The generator is another run's, and stays as it is; an encoder E learns to find from which latent it makes a picture
(game.py). The paper's "projection via a feedforward network" learns from real pictures, by what G makes of E(x); the
other half, from samples, whose latents are known, is the latent regressor of Donahue et al. (arXiv 1605.09782).
`ganforge invert` begins with what E says and goes on by gradients, which is the paper's hybrid method.

Deviations: pixels alone are compared, where the paper adds features of AlexNet; the encoder is small and has batch
norm; both halves are learned together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import DataSpec, GanforgeError, Options, Recipe, hookimpl
from ganforge.core.config import PlayerConfig, read_toml
from ganforge.core.options import parse

if TYPE_CHECKING:
    from ganforge.core.config import Config
    from ganforge.core.game import Game, Parts

PAPER = "1609.03552"


class EncoderOptions(Options):
    """Whose generator is inverted, and how the encoder learns."""

    of: str = Field("", description="directory of the run whose generator is inverted")
    latent: float = Field(1.0, ge=0, description="what the error of latents of samples counts")
    pixels: float = Field(1.0, ge=0, description="what the error of real samples' reconstructions counts")
    width: int = Field(64, ge=1, le=1024, description="channels of the encoder's first maps; for points its layers")
    encoder: PlayerConfig = Field(PlayerConfig(), description="the encoder's optimizer")


def build_game(config: Config, parts: Parts) -> Game:
    from ganforge.plugins.papers.encoder.game import EncoderGame

    return EncoderGame(parts)


def settings(options: EncoderOptions, data: DataSpec) -> dict[str, Any]:
    """What makes the other run's generator, and its last checkpoint to start from; Adam 2e-4 as DCGAN's."""
    ours = {"loss": "non-saturating", "ema": {"decay": 0.99}, "batch_size": 64, "steps": 10_000}
    if not options.of:  # to be shown; a training refuses
        return {"architecture": "mlp" if data.kind == "points" else "dcgan", **ours}
    return {**_networks_of(Path(options.of), data), "start": options.of, **ours}


def _networks_of(directory: Path, data: DataSpec) -> dict[str, Any]:
    """The settings of a run that its networks are built by.

    Raises:
        GanforgeError: no run, or one on data of another shape.
    """
    known = read_toml(directory / "config.toml")
    made = parse(DataSpec, known.get("data_spec", {}), f"{directory / 'config.toml'}: data_spec")
    if made.shape != data.shape:
        raise GanforgeError(f"option 'recipe.of': {directory} makes {made}, and the data has {data}")
    players = {name: {"conditioning": known[name]["conditioning"]} for name in ("generator", "discriminator")}
    return {key: known[key] for key in ("architecture", "latent", "regularizers")} | players


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="encoder",
            summary="an encoder for the generator of another run, from its samples and real ones",
            paper=PAPER,
            options=EncoderOptions,
            settings=settings,
            game=build_game,
            small={"recipe": {"width": 8}, "batch_size": 8},
            follows="dcgan",
        )
    ]
