"""Is `ganforge diagnose` right? Short runs that are made to fail and healthy ones, beside an independent score.

    python benchmarks/diagnosis.py [--half fitted held-out] [--cases NAME …] [--jobs 2]

Half of the runs chose the thresholds of the alarms; the other half has other recipes and seeds, and chose nothing. What
a run truly came to is not what was intended of it but what it scores: on digits, the coverage of held-out pictures in
the features of a classifier; on points, the modes of the mixture and the share of good samples. A run is trained once
and judged again whenever this is called; the table of docs/diagnosis.md is what it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ganforge.core.files import write_text

RUNS = Path("runs/diagnosis")
KEPT = Path("docs/diagnosis.json")
PAGE = Path("docs/diagnosis.md")

PICTURES = "--data digits --batch-size 32 --steps 1500 --set architecture.width=32"
RESIDUAL = "--set architecture.generator_width=32 --set architecture.discriminator_width=32"
LARGE = f"--data digits --batch-size 32 --steps 800 {RESIDUAL}"
POINTS = "--steps 4000"


def rates(generator: float, discriminator: float) -> str:
    return f"--set generator.lr={generator:g} --set discriminator.lr={discriminator:g}"


STRONG = f"--set discriminator.moves=5 {rates(1e-5, 2e-3)}"
WEAK = rates(1e-6, 2e-4)
FAST = rates(1e-2, 1e-2)
WIDE = rates(5e-2, 5e-2)
UNNORMALISED = "--set regularizers.norm.kind=none --set regularizers.norm.networks=both"

FITTED: dict[str, str] = {
    "dcgan": f"dcgan {PICTURES}",
    "dcgan, another seed": f"dcgan {PICTURES} --seed 1",
    "lsgan": f"lsgan {PICTURES}",
    "sngan": f"sngan {PICTURES}",
    "wgan-gp": f"wgan-gp {PICTURES} --set discriminator.moves=2 {rates(4e-4, 4e-4)} --steps 1500",
    "vanilla": "vanilla --data digits --batch-size 64 --steps 4000",
    "cdcgan": f"cdcgan {PICTURES}",
    "r3gan": f"r3gan --set architecture.name=dcgan {PICTURES} --set architecture.discriminator_norm=none "
    f"{rates(5e-4, 5e-4)}",
    "ring: vanilla": f"vanilla --data ring {POINTS}",
    "ring: wgan-gp": f"wgan-gp --data ring {POINTS}",
    "ring: r3gan": f"r3gan --data ring {POINTS}",
    "ring: pacgan": f"pacgan --data ring {POINTS}",
    "dcgan, D far too strong": f"dcgan {PICTURES} {STRONG}",
    "sngan, D far too strong": f"sngan {PICTURES} {STRONG}",
    "dcgan, G too weak": f"dcgan {PICTURES} {WEAK}",
    "lsgan, G too weak": f"lsgan {PICTURES} {WEAK}",
    "dcgan, learning rate x 50": f"dcgan {PICTURES} {FAST}",
    "lsgan, learning rate x 50": f"lsgan {PICTURES} {FAST}",
    "vanilla, learning rate x 50": f"vanilla --data digits --batch-size 64 --steps 2000 {FAST}",
    "dcgan, no normalisation": f"dcgan {PICTURES} {UNNORMALISED}",
    "ring: vanilla, learning rate x 50": f"vanilla --data ring {POINTS} {WIDE}",
    "ring: vanilla, G moves ten times": f"vanilla --data ring {POINTS} --set generator.moves=10",
    "ring: vanilla, D far too strong": f"vanilla --data ring {POINTS} {STRONG}",
    "ring: vanilla, G too weak": f"vanilla --data ring {POINTS} {WEAK}",
}
HELD_OUT: dict[str, str] = {
    "geometric-gan": f"geometric-gan {PICTURES} --seed 5",
    "relativistic": f"relativistic {PICTURES} --seed 6",
    "pacgan": f"pacgan {PICTURES} --seed 7",
    "dragan": f"dragan {PICTURES} --seed 8",
    "infogan": f"infogan {PICTURES} --seed 9",
    "acgan": f"acgan {PICTURES} --seed 10",
    "wgan": f"wgan {PICTURES} --seed 11 --set discriminator.moves=3 {rates(2e-4, 2e-4)}",
    "gman": f"gman {PICTURES} --seed 12",
    "dcgan, a third seed": f"dcgan {PICTURES} --seed 13",
    "sngan-resnet": f"sngan-resnet {LARGE} --seed 14 --set discriminator.moves=1 {rates(4e-4, 4e-4)}",
    "ring: unrolled": "unrolled --data ring --steps 2000 --seed 15",
    "ring: lsgan": f"lsgan --data ring {POINTS} --seed 16",
    "grid: r3gan": f"r3gan --data grid {POINTS} --seed 17",
    "relativistic, D far too strong": f"relativistic {PICTURES} {STRONG} --seed 18",
    "geometric-gan, D far too strong": f"geometric-gan {PICTURES} {STRONG} --set generator.moves=1 --seed 19",
    "dragan, G too weak": f"dragan {PICTURES} {WEAK} --seed 20",
    "infogan, G too weak": f"infogan {PICTURES} {WEAK} --seed 21",
    "pacgan, learning rate x 50": f"pacgan {PICTURES} {FAST} --seed 22",
    "acgan, learning rate x 50": f"acgan {PICTURES} {FAST} --seed 23",
    "sngan, learning rate x 50": f"sngan {PICTURES} {FAST} --seed 24",
    "lsgan, no normalisation": f"lsgan {PICTURES} {UNNORMALISED} --seed 25",
    "ring: lsgan, learning rate x 50": f"lsgan --data ring {POINTS} {WIDE} --seed 26",
    "ring: pacgan, G moves ten times": f"pacgan --data ring {POINTS} --set generator.moves=10 --seed 27",
    "ring: wgan-gp, G too weak": f"wgan-gp --data ring {POINTS} {WEAK} --seed 28",
}
HALVES = {"fitted": FITTED, "held-out": HELD_OUT}


def play(name: str, half: str) -> dict[str, Any]:
    """Train a case unless its run is there, and score it by what no alarm looks at."""
    directory = RUNS / name.replace(" ", "-").replace(",", "").replace(":", "")
    arguments = shlex.split(HALVES[half][name])
    if not (directory / "done").exists():
        quiet = [f"--set=observers.{observer}=false" for observer in ("report", "gif", "tensorboard")]
        ganforge("train", *arguments, "--threads", "1", "--every", "10000", *quiet, "--out", str(directory))
        scores = independent(directory) if (directory / "checkpoints").exists() else {}
        write_text(directory / "done", json.dumps(scores))
    scores = json.loads((directory / "done").read_text())
    told = json.loads(ganforge("diagnose", str(directory), "--json"))
    alarms = [alarm["kind"] for alarm in told["alarms"]]
    return {"half": half, "command": HALVES[half][name], "scores": scores, "verdict": told["verdict"], "alarms": alarms}


def independent(directory: Path) -> dict[str, float]:
    """Coverage by a classifier's features, or the modes of the mixture."""
    points = "ring" in directory.name or "grid" in directory.name
    asked = ["--metrics", "modes", "--samples", "2500"]
    if not points:
        asked = ["--metrics", "prdc", "--features", "classifier", "--split", "train", "--samples", "1000"]
    scores = json.loads(ganforge("evaluate", str(directory), *asked, "--no-floor", "--json") or "[]")
    return {score["name"].partition("@")[0].partition("_k5")[0]: score["value"] for score in scores}


def ganforge(*arguments: str) -> str:
    """What a command prints; a run that fails is what is wanted of some."""
    command = [sys.executable, "-m", "ganforge.cli", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", nargs="*", default=list(HALVES), choices=list(HALVES))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(play, name, half): name for half in options.half for name in HALVES[half]}
        for future in as_completed(waiting):
            name = waiting[future]
            results[name] = future.result()
            print(f"{name}: {results[name]['verdict']} {results[name]['alarms']} {results[name]['scores']}", flush=True)
            write_text(KEPT, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
