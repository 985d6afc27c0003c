"""A hundred pictures to learn from: what augmentation, another run's networks and FastGAN make of them.

    python benchmarks/few_images.py [--minutes 5] [--source-minutes 15] [--images 100] [--rows …]

All rows learn from the same pictures of two classes of Fashion-MNIST for the same CPU minutes, and are scored beside
all held-out pictures of these classes. Rows that start from another run take a DCGAN of all pictures of the other eight
classes, which trains first. Rounds are those that the minutes allow on this machine, measured before. What is finished
is kept in the page's folder and not trained again until its settings, the number of pictures or the minutes change; a
training that was interrupted goes on. The data set must be installed (Debian: `dataset-fashion-mnist`) or lie in
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
from pathlib import Path
from typing import Any

from ganforge.core.files import write_text

DATA = ["--data", "fashion-mnist", "--resolution", "32"]
MACHINE = ["--precision", "bf16", "--threads", "1"]
RUNS = Path("runs/few")
KEPT = Path("docs/few")
PAGE = KEPT.with_suffix(".md")
SAMPLES = 1000

CLASSES = ["t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
TARGET = ["bag", "ankle boot"]
SOURCE = "source"

NARROW = ["batch_size=32", "architecture.width=32"]
# p may rise to 1 within the minutes: over 500,000 pictures, the paper's number, it would hardly move.
ADA = "regularizers.ada.images=50000"
ROWS: dict[str, tuple[str, list[str]]] = {
    "dcgan": ("dcgan", NARROW),
    "diffaugment": ("dcgan", [*NARROW, "regularizers.diffaugment=true"]),
    "ada": ("dcgan", [*NARROW, ADA]),
    "from": ("dcgan", [*NARROW, f"start={RUNS / SOURCE}"]),
    "freeze": ("dcgan", [*NARROW, f"start={RUNS / SOURCE}", "regularizers.freeze.layers=2"]),
    "freeze-diffaugment": (
        "dcgan",
        [*NARROW, f"start={RUNS / SOURCE}", "regularizers.freeze.layers=2", "regularizers.diffaugment=true"],
    ),
    "fastgan": ("fastgan", ["architecture.width=8", "regularizers.reconstruction.width=8"]),
}
TOLD = {
    "dcgan": "DCGAN",
    "diffaugment": "DCGAN, DiffAugment",
    "ada": "DCGAN, ADA",
    "from": "DCGAN from the other classes' run",
    "freeze": "FreezeD: from that run, two layers of D frozen",
    "freeze-diffaugment": "FreezeD and DiffAugment",
    "fastgan": "FastGAN",
}


def settings_of(row: str, images: int) -> tuple[str, list[str]]:
    """A row's recipe and all its settings, the data's first."""
    if row == SOURCE:
        return "dcgan", [f"data.only={json.dumps([c for c in CLASSES if c not in TARGET])}", *NARROW]
    recipe, settings = ROWS[row]
    return recipe, [f"data.only={json.dumps(TARGET)}", f"data.limit={images}", *settings]


def train_command(row: str, images: int) -> list[str]:
    """A training without its length."""
    recipe, settings = settings_of(row, images)
    return ["ganforge", "train", recipe, *DATA, *MACHINE, *(word for one in settings for word in ("--set", one))]


def asked(row: str, options: argparse.Namespace) -> dict[str, Any]:
    """All that a row's result depends on, as JSON gives it back."""
    recipe, settings = settings_of(row, options.images)
    minutes = [options.source_minutes if row == SOURCE else options.minutes]
    minutes += [options.source_minutes] if starts(row) else []
    return {"recipe": recipe, "settings": settings, "minutes": minutes}


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


def starts(row: str) -> bool:
    """Whether a row starts from the source's run."""
    return f"start={RUNS / SOURCE}" in settings_of(row, 1)[1]


def play(row: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train a row for its CPU minutes, or go on with it; what was asked for, the rounds, and the minutes they took."""
    directory, begun, wanted = RUNS / row, RUNS / f"{row}.json", asked(row, options)
    known = json.loads(begun.read_text()) if begun.exists() else {}
    if known.get("asked") != wanted:
        shutil.rmtree(directory, ignore_errors=True)
        command = train_command(row, options.images)
        steps = rounds_within(wanted["minutes"][0], command)
        known = {"asked": wanted, "steps": steps, "command": [*command, "--steps", str(steps), "--out", str(directory)]}
        RUNS.mkdir(parents=True, exist_ok=True)
        write_text(begun, json.dumps(known, indent=1) + "\n")
    if (directory / "config.toml").exists():
        run(["ganforge", "resume", str(directory)])
        return known
    return {**known, "spent": run(known["command"])[0] / 60}


def score(row: str, known: dict[str, Any]) -> dict[str, Any]:
    """Draw a row's samples, and their KID beside held-out pictures."""
    directory = str(RUNS / row)
    run(
        ["ganforge", "sample", directory, "--n", "30", "--columns", "10", "--seed", "1", "-o", str(KEPT / f"{row}.png")]
    )
    evaluate = [
        "ganforge",
        "evaluate",
        directory,
        "--samples",
        str(SAMPLES),
        "--metrics",
        "kid",
        "--no-floor",
        "--json",
    ]
    result = {**known, "kid": json.loads(run(evaluate)[1])[0]["value"]}
    write_text(KEPT / f"{row}.json", json.dumps(result, indent=1) + "\n")
    return result


def kept(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The results there are for the present settings, in their order."""
    found = {row: json.loads((KEPT / f"{row}.json").read_text()) for row in ROWS if (KEPT / f"{row}.json").exists()}
    return {row: result for row, result in found.items() if result["asked"] == asked(row, options)}


def page(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> str:
    """The Markdown page of results; their pictures lie in a folder of its name."""
    lines = [
        f"# {options.images} pictures",
        "",
        f"{' and '.join(f'`{name}`' for name in TARGET)} of Fashion-MNIST at 32×32, {options.images} pictures in all, "
        f"the same for every row; about {options.minutes:g} CPU minutes of rounds each (one core, bf16; the table's "
        "minutes are of the whole command, with starting and pictures), as `python "
        f"benchmarks/few_images.py --images {options.images} --minutes {options.minutes:g} --source-minutes "
        f"{options.source_minutes:g}` made this page. KID is of {SAMPLES:,} samples beside held-out pictures of these "
        "classes; lower is better. Rows that start from another run take a DCGAN that learned the other eight classes, "
        f"for {options.source_minutes:g} of such minutes.",
        "",
        "| | rounds | CPU minutes | KID × 1,000 |",
        "| --- | --- | --- | --- |",
    ]
    for row, one in results.items():
        spent = f"{one['spent']:.1f}" if "spent" in one else "interrupted"
        lines.append(f"| {TOLD[row]} | {one['steps']:,} | {spent} | {1000 * one['kid']:.0f} |")
    if (source := KEPT / f"{SOURCE}.json").exists():
        command = shlex.join(json.loads(source.read_text())["command"])
        lines += ["", "## The run of the other classes", "", f"    {command}"]
    for row, result in results.items():
        command = shlex.join(result["command"])
        lines += ["", f"## {TOLD[row]}", "", f"    {command}", "", f"![Garments by {row}]({KEPT.name}/{row}.png)"]
    if missing := [row for row in ROWS if row not in results]:
        lines += ["", f"Not trained for this page yet: {', '.join(f'`{row}`' for row in missing)}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--source-minutes", type=float, default=15)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    due = [row for row in options.rows if row not in kept(options)]
    if any(map(starts, due)):
        source = play(SOURCE, options)
        write_text(KEPT / f"{SOURCE}.json", json.dumps(source, indent=1) + "\n")
        print(f"{SOURCE}: {source['steps']} rounds", flush=True)
    for row in due:
        result = score(row, play(row, options))
        print(f"{row}: {result['steps']} rounds, KID {result['kid']:.3f}", flush=True)
        write_text(PAGE, page(kept(options), options))
    write_text(PAGE, page(kept(options), options))


if __name__ == "__main__":
    main()
