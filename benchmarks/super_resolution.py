"""SRGAN beside SRResNet and bicubic interpolation: PSNR, SSIM, and how far pictures are in the eyes of a network.

    python benchmarks/super_resolution.py [--data fashion-mnist] [--resolution 32] [--steps 1500] [--factors 2 4]

Held-out pictures are made small and enlarged again. SRResNet is the same recipe with pixels alone in all rounds. The
distance is the mean squared difference of the features of EfficientNet-Lite0, which no loss here saw (SRGAN's content
loss has those of a classifier of the training data). A finished run's figures are kept in docs/super_resolution.json
until its settings change, its pictures beside them; runs go to `runs/super-resolution/`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganforge.core import Run
from ganforge.core.config import load_data
from ganforge.core.files import write_text
from ganforge.core.registry import Registry, default_registry, set_default_registry
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.papers.srgan.game import bicubic, shrunk

RUNS = Path("runs/super-resolution")
RESULTS = Path("docs/super_resolution.json")
SMALL = ["architecture.width=16", "architecture.blocks=4", "architecture.critic_width=16", "architecture.dense=128"]
RATES = ["generator.lr=5e-4", "discriminator.lr=5e-4"]  # for so few rounds; the paper has 1e-4
METHODS = {"SRResNet": ["recipe.warmup=0.99", "recipe.content=0"], "SRGAN": []}
JUDGED = 500


def train_command(arguments: argparse.Namespace, method: str, factor: int) -> list[str]:
    settings = [*SMALL, *RATES, f"recipe.factor={factor}", *METHODS[method], "observers=[]"]
    words = [word for setting in settings for word in ("--set", setting)]
    size = ["--data", arguments.data, "--resolution", str(arguments.resolution), "--steps", str(arguments.steps)]
    directory = RUNS / f"{method.lower()}-{factor}"
    return ["ganforge", "train", "srgan", *size, "--threads", "1", *words, "--out", str(directory)]


def trained(command: list[str]) -> Run:
    directory = Path(command[-1])
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "ganforge.cli", *command[1:]], check=True, stdout=subprocess.DEVNULL)
    return Run.load(directory)


def held_out(run: Run) -> Tensor:
    """Real pictures nobody learned from, float32 [n, C, H, W] in [-1, 1]."""
    data = load_data(run.config.data, default_registry(), "test")
    pixels, _ = data.fetch(np.arange(min(JUDGED, len(data))))
    return torch.from_numpy(pixels).float().div(127.5).sub(1)


@torch.no_grad()
def score(made: Tensor, real: Tensor, run: Run) -> dict[str, float]:
    """PSNR and SSIM of pixels in [0, 255], each picture by itself, and the distance of features."""
    spec = default_registry().find("extractor", "efficientnet-lite0")
    extractor = spec.build(spec.options(), load_data(run.config.data, default_registry()))
    one, two = (((images + 1) * 127.5).round().clamp(0, 255) for images in (made, real))
    errors = (one - two).square().flatten(1).mean(dim=1)
    image = import_with_torchvision("torchmetrics.functional.image")
    pieces = [[extractor(part.byte()).features for part in side.split(100)] for side in (one, two)]
    features = [torch.cat(piece) for piece in pieces]
    return {
        "psnr": float((10 * (255**2 / errors.clamp_min(1e-9)).log10()).mean()),
        "ssim": float(image.structural_similarity_index_measure(one, two, data_range=255.0)),
        "distance": float((features[0] - features[1]).square().mean()),
    }


@torch.no_grad()
def figures(arguments: argparse.Namespace, method: str, factor: int, command: list[str]) -> dict[str, Any]:
    """Of one method, and of bicubic interpolation on the same pictures."""
    run = trained(command)
    game: Any = run.game
    real = held_out(run)
    small = shrunk(real, factor)
    made = torch.from_numpy(game.translate(small.numpy()))
    picture = RESULTS.with_suffix("") / f"{method.lower()}-{factor}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sorted((run.directory / "samples").glob("*.png"))[-1], picture)
    return {
        "command": shlex.join(command),
        "picture": picture.name,
        "judged": len(real),
        "score": score(made, real, run),
        "bicubic": score(bicubic(small, factor), real, run),
    }


def page(results: dict[str, dict[str, Any]]) -> str:
    judged = max(result["judged"] for result in results.values())
    lines = [
        "# Super-resolution",
        "",
        f"Of {judged:,} held-out pictures made small and enlarged again, by `python benchmarks/super_resolution.py`,",
        "after few rounds of small networks: PSNR in decibels and SSIM, high is better; the distance of",
        "EfficientNet-Lite0's features from the real picture's, low is better.",
        "",
        "| factor | method | PSNR | SSIM | distance |",
        "| --- | --- | --- | --- | --- |",
    ]
    shown = set()
    for name, result in results.items():
        method, factor = name.split()
        rows = [] if factor in shown else [("bicubic", result["bicubic"])]
        shown.add(factor)
        for label, found in [*rows, (method, result["score"])]:
            cells = (f"×{factor}", label, f"{found['psnr']:.2f}", f"{found['ssim']:.3f}", f"{found['distance']:.4f}")
            lines.append(f"| {' | '.join(cells)} |")
    for name, result in results.items():
        method, factor = name.split()
        lines += ["", f"## {method}, ×{factor}", "", f"    {result['command']}", ""]
        lines += [f"Small, bicubic, enlarged and real pictures: ![]({RESULTS.stem}/{result['picture']})"]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--factors", type=int, nargs="+", default=[2, 4], choices=[2, 4])
    arguments = parser.parse_args()
    set_default_registry(Registry(fallback=BUILTIN))
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for factor in arguments.factors:
        for method in METHODS:
            name, command = f"{method} {factor}", train_command(arguments, method, factor)
            if results.get(name, {}).get("command") != shlex.join(command):
                results[name] = figures(arguments, method, factor, command)
                print(f"{name}: {results[name]['score']}, bicubic {results[name]['bicubic']}", flush=True)
                write_text(RESULTS, json.dumps(results, indent=1) + "\n")
                write_text(RESULTS.with_suffix(".md"), page(results))


if __name__ == "__main__":
    main()
