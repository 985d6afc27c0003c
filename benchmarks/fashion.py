"""Fashion-MNIST at 32×32: every recipe after the same CPU minutes, as a page of sample grids.

    python benchmarks/fashion.py [--minutes 5.5] [--recipes dcgan biggan …] [--jobs 2] [--page docs/fashion.md]

A recipe's rounds are those that its CPU minutes allow on this machine, measured before it trains; the page gives
the whole command. Conditional recipes are also scored by a classifier that was trained on the real training
pictures and never saw a sample. Runs go to `runs/fashion/`; finished ones are not trained again. The data set must be
installed (Debian: `dataset-fashion-mnist`) or lie in $GANFORGE_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

DATA = ["--data", "fashion-mnist", "--resolution", "32"]
MACHINE = ["--precision", "bf16", "--threads", "1"]
RUNS = Path("runs/fashion")
SAMPLED = 2000

SMALLER = "--batch-size 64 --set architecture.width=32"
DECAY = "--set generator.lr_decay=linear --set discriminator.lr_decay=linear"
RESIDUAL = "--set architecture.generator_width=32 --set architecture.discriminator_width=32"


def rate(lr: float) -> str:
    return f"--set generator.lr={lr:g} --set discriminator.lr={lr:g}"


FAST = f"--set discriminator.moves=1 {rate(4e-4)}"
CASES: dict[str, str] = {
    **dict.fromkeys(("vanilla", "cgan"), ""),
    **dict.fromkeys(("dcgan", "lsgan", "sngan", "dragan", "fgan", "relativistic", "relativistic-average"), SMALLER),
    **dict.fromkeys(("gman", "pacgan", "infogan", "sgan", "ebgan", "ebgan-pt"), SMALLER),
    **dict.fromkeys(("cdcgan", "acgan"), f"{SMALLER} {DECAY}"),
    "wgan": f"{SMALLER} {rate(2e-4)}",
    "wgan-gp": f"{SMALLER} --set discriminator.moves=2 {rate(3e-4)}",
    "geometric-gan": f"{SMALLER} --set generator.moves=1",
    "r3gan": f"{SMALLER} {rate(5e-4)}",
    "unrolled": f"--batch-size 64 --set architecture.width=16 --set recipe.steps=2 {rate(4e-4)}",
    "began": "--batch-size 16 --set architecture.width=16",
    **dict.fromkeys(
        ("sagan", "biggan"), f"--batch-size 32 --set accumulate=1 --set architecture.width=16 {FAST} {DECAY}"
    ),
    "sngan-resnet": f"--batch-size 32 {RESIDUAL} {FAST}",
    "projection-gan": f"--batch-size 32 {RESIDUAL} {FAST} --set generator.lr_hold=0 --set discriminator.lr_hold=0",
}
"""Every recipe that makes pictures, with what a CPU's budget asks to change of the paper's settings."""


def play(recipe: str, minutes: float) -> dict[str, Any]:
    """Train a recipe for its CPU minutes and draw its grid, unless that is done."""
    planned, directory = RUNS / f"{recipe}.json", RUNS / recipe
    plan: dict[str, Any] = json.loads(planned.read_text()) if planned.exists() else {}
    if plan.get("settings") != CASES[recipe]:
        steps = round(minutes * 60 / seconds_per_round(recipe))
        plan = {"settings": CASES[recipe], "steps": steps, "command": train_command(recipe, steps, directory)}
        planned.write_text(json.dumps(plan, indent=1))
    if "accuracy" not in plan:
        shutil.rmtree(directory, ignore_errors=True)
        plan["minutes"] = run(plan["command"]) / 60
        layout = ["--n", "60"] if labelled(directory) else ["--n", "60", "--columns", "10"]
        run(["ganforge", "sample", str(directory), *layout, "--seed", "1", "-o", str(RUNS / f"{recipe}.png")])
        plan["accuracy"] = accuracy(directory) if labelled(directory) else None
        planned.write_text(json.dumps(plan, indent=1))
    return plan


def train_command(recipe: str, steps: int, directory: Path) -> list[str]:
    settings = shlex.split(CASES[recipe])
    return ["ganforge", "train", recipe, *DATA, *MACHINE, *settings, "--steps", str(steps), "--out", str(directory)]


def seconds_per_round(recipe: str, few: int = 20, more: int = 60) -> float:
    """CPU seconds of a round: a short training less a shorter one, so that starting up does not count."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (run(train_command(recipe, n, Path(folder) / str(n))) for n in (few, more))
    return (long - short) / (more - few)


def run(command: list[str]) -> float:
    """Run a command of ganforge quietly; returns its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, "-m", "ganforge.cli", *command[1:]]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def labelled(directory: Path) -> bool:
    from ganforge.core import Run

    return Run.load(directory).labelled


def accuracy(directory: Path) -> float:
    """Share of labelled samples which the classifier takes for what they should be."""
    from ganforge.core import Run

    samples = Run.load(directory).sample(SAMPLED, seed=2)
    labels = np.arange(SAMPLED) % 10
    return float((classify(judge(), samples) == labels).mean())


class Judge(nn.Sequential):
    """A small convolutional classifier of 32×32 grey pictures."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 16, 10))


def judge() -> Judge:
    """The classifier, trained on the real training pictures once and kept beside the runs."""
    network, path = Judge(), RUNS / "judge.pt"
    if not path.exists():
        torch.manual_seed(0)
        network = Judge()
        _teach(network, *_pictures("train"))
        torch.save(network.state_dict(), path)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def judge_accuracy() -> float:
    """On the real pictures of the test split."""
    pictures, labels = _pictures("test")
    return float((classify(judge(), pictures) == labels).mean())


def _teach(network: Judge, pictures: np.ndarray, labels: np.ndarray, epochs: int = 3, batch: int = 128) -> None:
    x, y = torch.from_numpy(pictures), torch.from_numpy(labels)
    steps = epochs * len(x) // batch
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def classify(network: Judge, pictures: np.ndarray) -> np.ndarray:
    pieces = torch.from_numpy(pictures).split(256)
    return torch.cat([network(piece).argmax(dim=1) for piece in pieces]).numpy()


def _pictures(split: str) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, 1, 32, 32] in [-1, 1] and labels int64 [n], as the recipes see them."""
    from ganforge.core.config import DataConfig, load_data
    from ganforge.core.registry import default_registry

    data = load_data(DataConfig(name="fashion-mnist", resolution=32), default_registry(), split)  # type: ignore[arg-type]
    pixels, labels = data.fetch(np.arange(len(data)))
    assert labels is not None
    return pixels.astype(np.float32) / 127.5 - 1, labels


def page(results: dict[str, dict[str, Any]], minutes: float, path: Path) -> str:
    """The Markdown page; its pictures lie in a folder of the page's name."""
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Fashion-MNIST at 32×32",
        "",
        f"Each recipe after about {minutes:g} CPU minutes (one core, bf16), as `python benchmarks/fashion.py --page "
        "docs/fashion.md` made this page: the paper's settings but for what the command beside the picture says. "
        f"Recipes that take labels have a row for each class; for them a classifier of its own ({judge_accuracy():.1%}"
        f" on the real test pictures) tells how many of {SAMPLED:,} samples show the class that was asked for.",
        "",
    ]
    for recipe, result in results.items():
        shutil.copyfile(RUNS / f"{recipe}.png", folder / f"{recipe}.png")
        said = "" if result["accuracy"] is None else f", {result['accuracy']:.1%} of the samples show their class"
        lines += [
            f"## {recipe}",
            "",
            f"{result['steps']:,} rounds in {result['minutes']:.1f} CPU minutes{said}.",
            "",
            f"    {shlex.join(result['command'])}",
            "",
            f"![Fashion-MNIST garments by {recipe}]({folder.name}/{recipe}.png)",
            "",
        ]
    if missing := [recipe for recipe in CASES if recipe not in results]:
        lines += [f"Not trained for this page yet: {', '.join(f'`{recipe}`' for recipe in missing)}.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.5)
    parser.add_argument("--recipes", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    print(f"judge: {judge_accuracy():.1%} of the real test pictures")
    results: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = {recipe: pool.submit(play, recipe, options.minutes) for recipe in options.recipes}
        for recipe, result in waiting.items():
            results[recipe] = result.result()
            print(f"{recipe}: {results[recipe]['steps']} rounds, accuracy {results[recipe]['accuracy']}", flush=True)
    if options.page:
        options.page.write_text(page(results, options.minutes, options.page), encoding="utf-8")


if __name__ == "__main__":
    main()
