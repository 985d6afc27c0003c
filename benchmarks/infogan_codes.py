"""What InfoGAN's codes came to stand for: how well the categorical one separates classes, and a picture per code.

    python benchmarks/infogan_codes.py [--data digits] [--steps 3000] [--seeds 0 1 2] [--out docs/infogan]

Two figures for each seed, neither of them Q's own bound. *Samples*: a classifier that never saw the GAN (a support
vector machine fitted on real training pictures) names the class of 2,000 samples; the accuracy of the code when each
category stands for one class, by the best matching of the two. *Real*: Q's category of held-out real pictures against
their labels, matched likewise (the paper's 5% error on MNIST is this one). Labels are used for scoring only. The
pictures are of the first seed, whatever it gives. Runs go to `runs/infogan/`; finished ones are not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.svm import SVC

from ganforge.cli.sweep import sweep_codes
from ganforge.core import Run, resume, train
from ganforge.core.config import load_data
from ganforge.core.registry import Registry, set_default_registry
from ganforge.plugins.builtin import BUILTIN

SAMPLES, FITTED = 2000, 10_000
RUNS = Path("runs/infogan")


def play(arguments: argparse.Namespace, seed: int) -> Run:
    """Train a run, or take it up where it stopped."""
    directory = RUNS / f"{arguments.data}-{arguments.width}-{arguments.steps}-{seed}"
    if (directory / "config.toml").exists():
        return resume(directory)
    data = {"name": arguments.data, "resolution": arguments.resolution}
    machine = {"device": "cpu", "threads": 1}
    wanted: dict[str, Any] = {"recipe": "infogan", "data": data, "seed": seed, "steps": arguments.steps}
    return train({**wanted, "architecture": {"width": arguments.width}, "machine": machine, "observers": []}, directory)


def pictures(run: Run, split: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Real pictures as networks see them, float32 [n, C, H, W], and their classes [n]."""
    data = load_data(run.config.data, run.registry, split)
    pixels, labels = data.fetch(np.random.default_rng(0).permutation(len(data))[:n])
    assert labels is not None
    return (pixels / 127.5 - 1).astype(np.float32), labels


def matched(clusters: np.ndarray, classes: np.ndarray) -> float:
    """The share of samples whose cluster stands for their class, under the best one-to-one matching."""
    table = np.zeros((clusters.max() + 1, classes.max() + 1))
    np.add.at(table, (clusters, classes), 1)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(clusters))


def categories(run: Run, real: np.ndarray) -> np.ndarray:
    """Q's category of real pictures [N, C, H, W]."""
    critic, q = (run.game.networks[name].eval() for name in ("discriminator", "discriminator_q"))
    with torch.no_grad():
        guess = q(critic(torch.from_numpy(real)).features.flatten(1))
    return guess[:, : run.config.latent.categorical[0]].argmax(dim=1).numpy()


def score(run: Run) -> dict[str, float]:
    images, labels = pictures(run, "train", FITTED)
    judge = SVC(C=10).fit(images.reshape(len(images), -1), labels)
    held_out, truth = pictures(run, "test", SAMPLES)
    latents = run.config.latent.sample(1, SAMPLES)
    dim = run.config.latent.dim
    codes = latents[:, dim : dim + run.config.latent.categorical[0]].argmax(axis=1)
    classes = judge.predict(run.game.sample(latents).reshape(SAMPLES, -1))
    return {
        "judge": judge.score(held_out.reshape(len(held_out), -1), truth),
        "samples": matched(codes, classes),
        "shuffled": matched(np.random.default_rng(0).permutation(codes), classes),
        "real": matched(categories(run, held_out), truth),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    set_default_registry(Registry(fallback=BUILTIN))
    torch.set_num_threads(1)
    print(
        "| seed | samples: code matches class | shuffled codes | real: Q's category matches label | the judge itself |"
    )
    print("|---|---|---|---|---|")
    for seed in arguments.seeds:
        run = play(arguments, seed)
        scores = score(run)
        cells = (f"{scores[key]:.1%}" for key in ("samples", "shuffled", "real", "judge"))
        print(f"| {seed} | {' | '.join(cells)} |", flush=True)
        if arguments.out and seed == arguments.seeds[0]:
            sweep_codes(run.directory, arguments.out, 0, None, None, None)


if __name__ == "__main__":
    main()
