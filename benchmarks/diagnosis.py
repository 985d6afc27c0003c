"""Is `ganforge diagnose` right? Short runs that are made to fail and healthy ones, beside an independent score.

    python benchmarks/diagnosis.py [--half fitted held-out] [--jobs 2]

Half of the runs chose the thresholds of the alarms; the other half has other recipes and seeds, and chose nothing. What
a run truly came to is not what was intended of it but what it scores: on digits, how many real pictures are covered in
the features of a classifier; on points, the modes of the mixture and the share of good samples. A run is trained once
and judged again whenever this is called; the tables go to docs/diagnosis.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ganforge.core import Run
from ganforge.core.files import write_text

RUNS = Path("runs/diagnosis")
KEPT = Path("docs/diagnosis.json")
PAGE = Path("docs/diagnosis.md")
BEGIN, END = "<!-- runs begin -->\n", "<!-- runs end -->"

PICTURES = "--data digits --batch-size 32 --steps 1500 --set architecture.width=32"
RESIDUAL = "--set architecture.generator_width=32 --set architecture.discriminator_width=32"
FAILING = PICTURES.replace("1500", "800")
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
    "sngan, D far too strong": f"sngan {FAILING} {STRONG}",
    "dcgan, G too weak": f"dcgan {FAILING} {WEAK}",
    "lsgan, G too weak": f"lsgan {FAILING} {WEAK}",
    "dcgan, learning rate x 50": f"dcgan {FAILING} {FAST}",
    "lsgan, learning rate x 50": f"lsgan {FAILING} {FAST}",
    "vanilla, learning rate x 50": f"vanilla --data digits --batch-size 64 --steps 800 {FAST}",
    "dcgan, no normalisation": f"dcgan {PICTURES} {UNNORMALISED}",
    "ring: vanilla, learning rate x 50": f"vanilla --data ring {POINTS} {WIDE}",
    "ring: vanilla, G moves ten times": f"vanilla --data ring {POINTS} --set generator.moves=10",
    "ring: vanilla, D far too strong": f"vanilla --data ring {POINTS} {STRONG}",
    "ring: vanilla, G too weak": f"vanilla --data ring {POINTS} {WEAK}",
    "grid: vanilla": f"vanilla --data grid {POINTS}",
    "geometric-gan": f"geometric-gan {PICTURES} --seed 5",
    "relativistic": f"relativistic {PICTURES} --seed 6",
    "pacgan": f"pacgan {PICTURES} --seed 7",
    "infogan": f"infogan {PICTURES} --seed 9",
    "acgan": f"acgan {PICTURES} --seed 10",
    "wgan": f"wgan {PICTURES} --seed 11 --set discriminator.moves=3 {rates(2e-4, 2e-4)}",
    "gman": f"gman {PICTURES} --seed 12",
    "dcgan, a third seed": f"dcgan {PICTURES} --seed 13",
    "sngan-resnet": f"sngan-resnet {LARGE} --seed 14 --set discriminator.moves=1 {rates(4e-4, 4e-4)}",
}
HELD_OUT: dict[str, str] = {
    "relativistic-average": f"relativistic-average {PICTURES} --seed 31",
    "ebgan": f"ebgan {PICTURES} --seed 32",
    "ebgan-pt": f"ebgan-pt {PICTURES} --seed 33",
    "lsgan, another seed": f"lsgan {PICTURES} --seed 34",
    "cdcgan, another seed": f"cdcgan {PICTURES} --seed 50",
    "fgan": f"fgan {PICTURES} --set loss.divergence=jensen-shannon --seed 36",
    "pacgan, another seed": f"pacgan {PICTURES} --seed 37",
    "sngan, another seed": f"sngan {PICTURES} --seed 38",
    "wgan-gp, another seed": f"wgan-gp {PICTURES} --set discriminator.moves=2 {rates(4e-4, 4e-4)} --seed 39",
    "acgan, another seed": f"acgan {PICTURES} --seed 51",
    "infogan, another seed": f"infogan {PICTURES} --seed 41",
    "dragan": f"dragan {PICTURES} --seed 8",
    "ring: unrolled": "unrolled --data ring --steps 2000 --seed 15",
    "ring: lsgan": f"lsgan --data ring {POINTS} --seed 16",
    "grid: r3gan": f"r3gan --data grid {POINTS} --seed 17",
    "relativistic, D far too strong": f"relativistic {FAILING} {STRONG} --seed 18",
    "geometric-gan, D far too strong": f"geometric-gan {FAILING} {STRONG} --set generator.moves=1 --seed 19",
    "dragan, G too weak": f"dragan {FAILING} {WEAK} --seed 20",
    "infogan, G too weak": f"infogan {FAILING} {WEAK} --seed 21",
    "pacgan, learning rate x 50": f"pacgan {FAILING} {FAST} --seed 22",
    "acgan, learning rate x 50": f"acgan {FAILING} {FAST} --seed 52",
    "sngan, learning rate x 50": f"sngan {FAILING} {FAST} --seed 24",
    "lsgan, no normalisation": f"lsgan {PICTURES} {UNNORMALISED} --seed 25",
    "ring: lsgan, learning rate x 50": f"lsgan --data ring {POINTS} {WIDE} --seed 26",
    "ring: pacgan, G moves ten times": f"pacgan --data ring {POINTS} --set generator.moves=10 --seed 27",
    "grid: lsgan": f"lsgan --data grid {POINTS} --seed 29",
    "ring: wgan-gp, G too weak": f"wgan-gp --data ring {POINTS} {WEAK} --seed 28",
    "dcgan, a fourth seed": f"dcgan {PICTURES} --seed 60",
    "lsgan, a third seed": f"lsgan {PICTURES} --seed 61",
    "wgan, another seed": f"wgan {PICTURES} --seed 62 --set discriminator.moves=3 {rates(2e-4, 2e-4)}",
    "gman, another seed": f"gman {PICTURES} --seed 63",
    "relativistic, another seed": f"relativistic {PICTURES} --seed 64",
    "geometric-gan, another seed": f"geometric-gan {PICTURES} --seed 65",
    "ebgan, another seed": f"ebgan {PICTURES} --seed 66",
    "dcgan, D far too strong, another seed": f"dcgan {FAILING} {STRONG} --seed 67",
    "lsgan, D far too strong": f"lsgan {FAILING} {STRONG} --seed 68",
    "wgan-gp, G too weak": f"wgan-gp {FAILING} {WEAK} --seed 69",
    "sngan, G too weak": f"sngan {FAILING} {WEAK} --seed 70",
    "relativistic, G too weak": f"relativistic {FAILING} {WEAK} --seed 71",
    "fgan, D far too strong": f"fgan {FAILING} --set loss.divergence=jensen-shannon {STRONG} --seed 72",
    "ring: relativistic, learning rate x 50": f"relativistic --data ring {POINTS} {WIDE} --seed 73",
    "ring: dragan, G too weak": f"dragan --data ring {POINTS} {WEAK} --seed 74",
    "ring: geometric-gan, D far too strong": f"geometric-gan --data ring {POINTS} {STRONG} --seed 75",
    "ring: sngan": f"sngan --data ring {POINTS} --seed 76",
    "ring: wgan": f"wgan --data ring {POINTS} --seed 77",
}
COVERED, RECALLED = 0.05, 0.1
"""Coverage and recall of real digits in a classifier's features, k = 5: with less, a training of pictures failed. The
latter is for generators that make each class well and always alike."""
CAPTURED, GOOD = 0.9, 0.5
"""Of a mixture's modes, and of samples within 3 standard deviations of one: with less, one of points has failed."""

HALVES = {"fitted": FITTED, "held-out": HELD_OUT}


def play(name: str, half: str) -> dict[str, Any]:
    """Train a case unless its run is there, score it by what no alarm looks at, and let it be judged."""
    directory = RUNS / name.replace(" ", "-").replace(",", "").replace(":", "")
    if not (directory / "scores.json").exists():
        quiet = [f"--set=observers.{observer}=false" for observer in ("report", "gif", "tensorboard")]
        arguments = [*shlex.split(HALVES[half][name]), "--threads", "1", "--every", "10000"]
        ganforge("train", *arguments, *quiet, "--out", str(directory))
        write_text(directory / "scores.json", json.dumps(scores(directory)))
    told = json.loads(ganforge("diagnose", str(directory), "--json"))
    return {
        "half": half,
        "command": f"ganforge train {HALVES[half][name]}",
        "digest": Run.load(directory).config.digest(),
        "scores": json.loads((directory / "scores.json").read_text()),
        "verdict": told["verdict"],
        "alarms": sorted({alarm["kind"] for alarm in told["alarms"]}),
    }


def scores(directory: Path) -> dict[str, float]:
    """Coverage in a classifier's features, or the modes of the mixture; none of a run that came to no checkpoint."""
    if not (directory / "checkpoints").exists():
        return {}
    asked = ["--metrics", "prdc", "--features", "classifier", "--split", "train", "--samples", "1000"]
    if directory.name.startswith(("ring", "grid")):
        asked = ["--metrics", "modes", "--samples", "2500"]
    found = json.loads(ganforge("evaluate", str(directory), *asked, "--no-floor", "--json") or "[]")
    return {score["name"].partition("@")[0].partition("_k5")[0]: score["value"] for score in found}


def ganforge(*arguments: str) -> str:
    """What a command prints; one that fails is what is wanted of some."""
    command = [sys.executable, "-m", "ganforge.cli", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False).stdout


def failed(scores: Mapping[str, float]) -> bool:
    """Whether a run truly failed, by its scores."""
    if "modes" in scores:
        return scores["modes"] < CAPTURED * scores["modes_of"] or scores["high_quality"] < GOOD
    return scores.get("coverage", 0) < COVERED or scores.get("recall", 0) < RECALLED


def confusion(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Runs by what they came to and what was said of them."""
    counted = Counter((failed(result["scores"]), result["verdict"]) for result in results)
    wrong = counted[False, "suspicious"] + counted[False, "failed"] + counted[True, "healthy"]
    lines = ["| the run | healthy | suspicious | failed |", "|---|---|---|---|"]
    for truth, words in ((False, "went well"), (True, "failed")):
        told = " | ".join(str(counted[truth, verdict]) for verdict in ("healthy", "suspicious", "failed"))
        lines.append(f"| {words} | {told} |")
    total = sum(counted.values())
    return [*lines, "", f"{wrong} of {total} wrong: an alarm on a run that went well, or none on one that failed.", ""]


def cases(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["| run | score | came to | verdict | alarms |", "|---|---|---|---|---|"]
    for name, result in results.items():
        found = result["scores"]
        score = (
            f"coverage {found['coverage']:.2f}, recall {found['recall']:.2f}"
            if "coverage" in found
            else "none: it came to no checkpoint"
        )
        if "modes" in found:
            score = f"{found['modes']:.0f} of {found['modes_of']:.0f} modes, {found['high_quality']:.0%} good"
        truth = "failed" if failed(found) else "went well"
        lines.append(f"| {name} | {score} | {truth} | {result['verdict']} | {', '.join(result['alarms'])} |")
    return [*lines, ""]


def tables(results: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for half, title in (("held-out", "The half that chose nothing"), ("fitted", "The half that chose the limits")):
        chosen = {name: results[name] for name in HALVES[half] if name in results}
        lines += [f"### {title}", "", *confusion(chosen.values()), *cases(chosen)]
    return "\n".join(lines)


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
            write_text(KEPT, json.dumps(results, indent=1, sort_keys=True) + "\n")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    write_text(PAGE, before + BEGIN + tables(results) + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
