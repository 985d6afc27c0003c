"""Kill a training with SIGKILL at random instants, resume it each time, and compare with one never stopped.

    python benchmarks/kill_and_resume.py [--kills 10] [--steps 1200] [--recipe dcgan] [--seed 0] [--set KEY=VALUE]…

The whole `game.state_dict()`, the optimizers and the next samples must be equal bit for bit; exits 1 if not.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from ganforge.core import Run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ganforge.cli", *arguments]


def wait_for_a_line(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the training has written about a round it played itself."""
    before = log.stat().st_mtime_ns if log.exists() else 0
    while process.poll() is None and (log.stat().st_mtime_ns if log.exists() else 0) == before:
        time.sleep(0.005)


def same_checkpoint(one: Path, other: Path) -> bool:
    """Every tensor of every file equal."""
    for name in ("networks.safetensors", "optimizers.safetensors"):
        mine, theirs = load_file(one / name), load_file(other / name)
        if mine.keys() != theirs.keys() or not all(torch.equal(mine[key], theirs[key]) for key in mine):
            return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipe")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = Path(folder) / "whole", Path(folder) / "parts"
        train = [
            "train",
            arguments.recipe,
            "--data",
            "digits",
            "--steps",
            str(arguments.steps),
            "--every",
            "7",
            "--log-every",
            "3",
        ]
        train += ["--threads", "1", "--batch-size", "16"]
        train += ["--set", "architecture.width=8"] if arguments.recipe == "dcgan" else []
        train += [word for setting in arguments.set for word in ("--set", setting)]
        started = time.monotonic()
        subprocess.run(command(*train, "--out", str(whole)), check=True, capture_output=True)
        length = time.monotonic() - started
        for kill in range(arguments.kills):
            fresh = not (parts / "config.toml").exists()
            process = subprocess.Popen(
                command(*([*train, "--out", str(parts)] if fresh else ["resume", str(parts)])),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if random.random() < 0.7:  # else the kill may fall anywhere, in the start-up too
                wait_for_a_line(parts / "metrics.jsonl", process)
            wait = random.uniform(0, 0.15 * length)
            time.sleep(wait)
            process.kill()
            ended = process.wait()
            reached = Run.load(parts).checkpoints if (parts / "config.toml").exists() else []
            at = reached[-1].name if reached else "no checkpoint"
            outcome = "had finished" if ended == 0 else "killed"
            print(f"kill {kill + 1:2}: {at}, {outcome}")
        subprocess.run(command("resume", str(parts)), check=True, capture_output=True)
        one, other = Run.load(whole), Run.load(parts)
        equal = same_checkpoint(one.checkpoints[-1], other.checkpoints[-1])
        equal &= bool(np.array_equal(one.sample(16, seed=1), other.sample(16, seed=1)))
        print("weights, optimizers and next samples:", "bit-identical" if equal else "DIFFERENT")
        return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
