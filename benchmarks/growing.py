"""ProGAN, StyleGAN and StyleGAN2 on Fashion-MNIST at 32×32, small: their runs and the pictures of docs/growing.md.

    python benchmarks/growing.py [progan] [stylegan] [stylegan2]

A run that is there already, in `runs/growing/`, is gone on with to its end, and only drawn when it has ended. The data
set must be installed (Debian: `dataset-fashion-mnist`) or lie in $GANFORGE_DATA.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from ganforge.core import Run
from ganforge.core.pictures import grid, save_picture, to_pixels
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

RUNS, PICTURES = Path("runs/growing"), Path("docs/growing")
COMMON = ["--data", "fashion-mnist", "--resolution", "32", "--threads", "1", "--batch-size", "32"]
CASES = {
    "progan": [
        *("--steps", "2250", "--set", "every=375", "--set", "recipe.phase=12000"),
        *("--set", "architecture.width=64", "--set", "architecture.full=8", "--set", "latent.dim=64"),
    ],
    "stylegan": [
        *("--steps", "1250", "--set", "every=250", "--set", "recipe.phase=8000", "--set", "latent.dim=64"),
        *("--set", "architecture.width=32", "--set", "architecture.full=8", "--set", "architecture.style=64"),
        *("--set", "regularizers.r1.gamma=1", "--set", "regularizers.r1.every=4"),
        *("--set", "generator.lr=0.002", "--set", "discriminator.lr=0.002"),
    ],
    "stylegan2": [
        *("--steps", "1500", "--set", "every=50", "--set", "latent.dim=64"),
        *("--set", "architecture.width=32", "--set", "architecture.full=8", "--set", "architecture.style=64"),
        *("--set", "regularizers.r1.gamma=1"),
    ],
}
SHOWN = (375, 1125, 1875, 2250)
"""Rounds of ProGAN's sample pictures: the ends of 4×4, 8×8 and 16×16, and 32×32 faded in."""
PSI = (1.0, 0.7, 0.4, 0.1)
COARSE = 4
"""Layers that take the other's style where styles are mixed: those of 4×4 and 8×8."""


def trained(recipe: str) -> Run:
    directory = RUNS / recipe
    start = ["train", recipe, *COMMON, *CASES[recipe], "--out", str(directory)]
    words = ["resume", str(directory)] if (directory / "config.toml").exists() else start
    subprocess.run([sys.executable, "-m", "ganforge.cli", *words], check=True)
    return Run.load(directory, registry=Registry(fallback=BUILTIN))


def stages(run: Run) -> None:
    """The same latents at the end of each size, side by side."""
    from PIL import Image

    pictures = [np.asarray(Image.open(run.directory / "samples" / f"{shown:06d}.png")) for shown in SHOWN]
    save_picture(np.concatenate(pictures, axis=1).reshape(*pictures[0].shape[:1], -1, 1), PICTURES / "stages.png")


def truncations(run: Run, name: str) -> None:
    """Twelve samples in a row, and below them the same with smaller and smaller ψ."""
    rows = [to_pixels(run.sample(12, seed=1, truncation=psi)) for psi in PSI]
    save_picture(grid(np.concatenate(rows), columns=12), PICTURES / f"{name}-truncation.png")


@torch.no_grad()
def mixing(run: Run, name: str, sources: int = 6) -> None:
    """Each picture has the coarse styles of the one at the left of its row and the others of the one above it."""
    generator = run.game.ema["generator"]
    styles = generator(torch.from_numpy(run.game.latent.sample(2, 2 * sources))).style
    coarse, fine = styles[:sources], styles[sources:]
    mixed = fine.repeat(sources, 1, 1)
    mixed[:, :COARSE] = coarse[:, :COARSE].repeat_interleave(sources, dim=0)
    top, left, inside = (to_pixels(generator.synthesis(one).numpy()) for one in (fine, coarse, mixed))
    rows = [np.concatenate([np.full_like(left[:1], 255), top])]
    rows += [np.concatenate([left[[i]], inside[i * sources : (i + 1) * sources]]) for i in range(sources)]
    save_picture(grid(np.concatenate(rows), columns=sources + 1), PICTURES / f"{name}-mixing.png")


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for recipe in sys.argv[1:] or CASES:
        run = trained(recipe)
        save_picture(grid(to_pixels(run.sample(60, seed=1)), columns=10), PICTURES / f"{recipe}.png")
        if recipe == "progan":
            stages(run)
        else:
            truncations(run, recipe)
            mixing(run, recipe)


if __name__ == "__main__":
    main()
