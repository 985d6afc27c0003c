"""Fashion-MNIST at 32×32: every recipe after the same CPU minutes, as a page of sample grids.

    python benchmarks/fashion.py [--minutes 5.5] [--recipes dcgan biggan …] [--jobs 2] [--page docs/fashion.md]

A recipe's rounds are those that its CPU minutes allow on this machine, measured before it trains; the page gives
the whole command. Conditional recipes are also scored by a classifier of real pictures. Runs go to `runs/fashion/`;
finished ones are not trained again. The data set must be installed (Debian: `dataset-fashion-mnist`) or lie in
$GANFORGE_DATA.
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

from ganforge.core import Run

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
    "r3gan": "--batch-size 32 --set architecture.width=32 --set architecture.blocks=1 --set architecture.group=32 "
    f"--set regularizers.r1.every=8 --set regularizers.r2.every=8 {rate(1e-3)}",
    "unrolled": f"--batch-size 64 --set architecture.width=16 --set recipe.steps=2 {rate(4e-4)}",
    "began": "--batch-size 16 --set architecture.width=16",
    **dict.fromkeys(
        ("sagan", "biggan"), f"--batch-size 32 --set accumulate=1 --set architecture.width=16 {FAST} {DECAY}"
    ),
    "sngan-resnet": f"--batch-size 32 {RESIDUAL} {FAST}",
    "projection-gan": f"--batch-size 32 {RESIDUAL} {FAST} --set generator.lr_hold=0 --set discriminator.lr_hold=0 "
    "--set generator.betas=[0.5,0.999] --set discriminator.betas=[0.5,0.999]",
}
"""Every recipe that makes pictures, with what a CPU's budget asks to change of the paper's settings."""


def play(recipe: str, minutes: float) -> dict[str, Any]:
    """Train a recipe for its CPU minutes, draw its grid and score it: what of that is not done yet."""
    planned, directory = RUNS / f"{recipe}.json", RUNS / recipe
    plan: dict[str, Any] = json.loads(planned.read_text()) if planned.exists() else {}
    if plan.get("settings") != CASES[recipe]:
        steps = round(minutes * 60 / seconds_per_round(recipe))
        plan = {"settings": CASES[recipe], "steps": steps, "command": train_command(recipe, steps, directory)}
    if "minutes" not in plan:
        shutil.rmtree(directory, ignore_errors=True)
        plan["minutes"] = run(plan["command"])[0] / 60
        planned.write_text(json.dumps(plan, indent=1))
    if "accuracy" not in plan:
        labelled = Run.load(directory).labelled
        layout = ["--n", "60"] if labelled else ["--n", "60", "--columns", "10"]
        run(["ganforge", "sample", str(directory), *layout, "--seed", "1", "-o", str(RUNS / f"{recipe}.png")])
        plan |= scores(directory) if labelled else {"accuracy": None}
        planned.write_text(json.dumps(plan, indent=1))
    return plan


def train_command(recipe: str, steps: int, directory: Path) -> list[str]:
    settings = shlex.split(CASES[recipe])
    return ["ganforge", "train", recipe, *DATA, *MACHINE, *settings, "--steps", str(steps), "--out", str(directory)]


def seconds_per_round(recipe: str, few: int = 20, more: int = 60) -> float:
    """CPU seconds of a round: a short training less a shorter one, so that starting up does not count."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (run(train_command(recipe, n, Path(folder) / str(n)))[0] for n in (few, more))
    return (long - short) / (more - few)


def run(command: list[str]) -> tuple[float, str]:
    """Run a command of ganforge; returns its CPU seconds and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, "-m", "ganforge.cli", *command[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def scores(directory: Path) -> dict[str, float]:
    """The share of samples that show their class, and what share of held-out real pictures the judge gets right."""
    command = ["ganforge", "evaluate", str(directory), "--samples", str(SAMPLED), "--features", "classifier"]
    score = json.loads(run([*command, "--metrics", "conditional-accuracy", "--no-floor", "--json"])[1])[0]
    return {"accuracy": score["value"], "judge": score["provenance"]["classifier accuracy"]}


def page(results: dict[str, dict[str, Any]], minutes: float, path: Path) -> str:
    """The Markdown page; its pictures lie in a folder of the page's name."""
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Fashion-MNIST at 32×32",
        "",
        f"Each recipe after about {minutes:g} CPU minutes (one core, bf16), as `python benchmarks/fashion.py --page "
        "docs/fashion.md` made this page: the paper's settings but for what the command beside the picture says. "
        f"Recipes that take labels have a row for each class; of {SAMPLED:,} of their samples, the metric "
        "`conditional-accuracy` tells how many show the class that was asked for, to a classifier that gets "
        f"{max(result.get('judge', 0) for result in results.values()):.1%} of held-out real pictures right.",
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
    RUNS.mkdir(parents=True, exist_ok=True)
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
