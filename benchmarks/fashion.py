"""Fashion-MNIST at 32×32: every recipe after the same CPU minutes, as a page of sample grids.

    python benchmarks/fashion.py [--minutes 5.5] [--recipes dcgan biggan …] [--jobs 2]

A recipe's rounds are those that its CPU minutes allow on this machine, measured before it trains; the page gives
the whole command. Settings are those of garments.toml beside this file. Conditional recipes are also scored by a
classifier of real pictures. A finished recipe's picture and figures are kept in the page's folder, and it is not
trained again until its settings change; its run stays in `runs/fashion/`. The data set must be installed (Debian:
`dataset-fashion-mnist`) or lie in $GANFORGE_DATA.
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
import tomllib
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ganforge.core import Run
from ganforge.core.files import write_text

DATA = ["--data", "fashion-mnist", "--resolution", "32"]
MACHINE = ["--precision", "bf16", "--threads", "1"]
RUNS = Path("runs/fashion")
KEPT = Path("docs/fashion")
PAGE = KEPT.with_suffix(".md")
SAMPLED = 2000

ROWS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("garments.toml").read_text(encoding="utf-8"))["row"]
CASES: dict[str, list[str]] = {row["recipe"]: row.get("settings", []) for row in ROWS}


def play(recipe: str, minutes: float) -> dict[str, Any]:
    """Train a recipe for its CPU minutes, draw its grid and score it; what the page tells of it."""
    directory = RUNS / recipe
    shutil.rmtree(directory, ignore_errors=True)
    steps = rounds_within(minutes, train_command(recipe))
    command = [*train_command(recipe), "--steps", str(steps), "--out", str(directory)]
    result: dict[str, Any] = {"settings": CASES[recipe], "steps": steps, "command": command}
    result["minutes"] = run(command)[0] / 60
    labelled = Run.load(directory).labelled
    layout = ["--n", "60"] if labelled else ["--n", "60", "--columns", "10"]
    run(["ganforge", "sample", str(directory), *layout, "--seed", "1", "-o", str(KEPT / f"{recipe}.png")])
    result |= scores(directory) if labelled else {}
    write_text(KEPT / f"{recipe}.json", json.dumps(result, indent=1) + "\n")
    return result


def kept() -> dict[str, dict[str, Any]]:
    """The results there are for the present settings, in their order."""
    files = {recipe: KEPT / f"{recipe}.json" for recipe in CASES}
    found = {recipe: json.loads(file.read_text()) for recipe, file in files.items() if file.exists()}
    return {recipe: result for recipe, result in found.items() if result["settings"] == CASES[recipe]}


def train_command(recipe: str) -> list[str]:
    """A training without its length."""
    settings = [word for setting in CASES[recipe] for word in ("--set", setting)]
    return ["ganforge", "train", recipe, *DATA, *MACHINE, *settings]


def rounds_within(minutes: float, command: list[str]) -> int:
    """The rounds of a training that fit into so many CPU minutes; its command has no length."""
    return int(json.loads(run([*command, "--budget", f"{60 * minutes}s", "--dry-run", "--json"])[1])["rounds"])


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


def page(results: dict[str, dict[str, Any]], minutes: float) -> str:
    """The Markdown page of results; their pictures lie in a folder of its name."""
    judge = max((result["judge"] for result in results.values() if "judge" in result), default=0)
    lines = [
        "# Fashion-MNIST at 32×32",
        "",
        f"Each recipe after about {minutes:g} CPU minutes (one core, bf16), as `python benchmarks/fashion.py` made "
        "this page: the paper's settings but for what the command beside the picture says. Recipes that take labels "
        f"have a row for each class; of {SAMPLED:,} of their samples, the metric `conditional-accuracy` tells how many "
        f"show the class that was asked for. Its classifier gets {judge:.1%} of held-out real pictures right.",
        "",
    ]
    for recipe, result in results.items():
        said = f", {result['accuracy']:.1%} of the samples show their class" if "accuracy" in result else ""
        lines += [
            f"## {recipe}",
            "",
            f"{result['steps']:,} rounds in {result['minutes']:.1f} CPU minutes{said}.",
            "",
            f"    {shlex.join(result['command'])}",
            "",
            f"![Fashion-MNIST garments by {recipe}]({KEPT.name}/{recipe}.png)",
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
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    due = [recipe for recipe in options.recipes if recipe not in kept()]
    print(f"{len(due)} to train", flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(play, recipe, options.minutes): recipe for recipe in due}
        for future in as_completed(waiting):
            result = future.result()
            print(f"{waiting[future]}: {result['steps']} rounds, accuracy {result.get('accuracy')}", flush=True)
            write_text(PAGE, page(kept(), options.minutes))
    write_text(PAGE, page(kept(), options.minutes))


if __name__ == "__main__":
    main()
