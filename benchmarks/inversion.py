"""Real pictures and what generators make of their codes: BiGAN, f-AnoGAN, an encoder, a CPU minute each.

    python benchmarks/inversion.py [--recipes bigan f-anogan encoder]

Each recipe's last picture is kept in docs/inversion/, and the page says by which command; a picture that is there is
not made again. Runs go to `runs/inversion/`; the encoder is for the generator of BiGAN's, which is trained if need be.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ganforge.core.files import write_text

RUNS = Path("runs/inversion")
KEPT = Path("docs/inversion")
QUICK = ["generator.lr=5e-4", "discriminator.lr=5e-4"]  # for so few rounds; the papers' rates are in the recipes
CASES = {
    "bigan": ["architecture.width=16", "recipe.encoder=32", "recipe.joint=256", *QUICK],
    "f-anogan": ["architecture.width=16", "recipe.width=32", "discriminator.moves=2", "recipe.encoder.lr=5e-4", *QUICK],
    "encoder": [f"recipe.of={RUNS / 'bigan'}", "recipe.width=32", "recipe.encoder.lr=5e-4"],
}
STEPS = 1500


def command(recipe: str) -> list[str]:
    settings = [word for setting in [*CASES[recipe], "observers=[]"] for word in ("--set", setting)]
    data = ["--data", "digits", "--steps", str(STEPS), "--batch-size", "64", "--threads", "1"]
    return ["ganforge", "train", recipe, *data, *settings, "--out", str(RUNS / recipe)]


def play(recipe: str) -> None:
    """Train, and keep the last picture."""
    if recipe == "encoder" and not (RUNS / "bigan" / "checkpoints").exists():
        train("bigan")
    train(recipe)
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sorted((RUNS / recipe / "samples").glob("*.png"))[-1], KEPT / f"{recipe}.png")


def train(recipe: str) -> None:
    shutil.rmtree(RUNS / recipe, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "ganforge.cli", *command(recipe)[1:]], check=True, stdout=subprocess.DEVNULL)


def page() -> str:
    lines = [
        "# Inversion",
        "",
        "What `python benchmarks/inversion.py` made of scanned digits in a CPU minute each. Four rows",
        "of samples, then real training pictures over their reconstructions G(E(x)), twice.",
        "`encoder` is for a generator that is there already, here BiGAN's, and leaves it as it is. To find one",
        "picture's latent, `ganforge invert` begins with what such an encoder says:",
        "[explore.md](explore.md#invert).",
        "",
    ]
    for recipe in CASES:
        if (KEPT / f"{recipe}.png").exists():
            lines += [f"## {recipe}", "", f"    {shlex.join(command(recipe))}", ""]
            lines += [f"![Real digits and what was made of them by {recipe}]({KEPT.name}/{recipe}.png)", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="*", default=list(CASES), choices=list(CASES))
    for recipe in parser.parse_args().recipes:
        if not (KEPT / f"{recipe}.png").exists():
            play(recipe)
        write_text(KEPT.with_suffix(".md"), page())


if __name__ == "__main__":
    main()
