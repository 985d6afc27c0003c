"""Does a small classifier learn more from few real digits when a GAN's samples of them stand beside?

    python benchmarks/augment.py [--per-class 20] [--samples 100] [--steps 1500] [--seeds 0 1 2]

For each seed, so many real digits of each class are drawn from the training split; a `cdcgan` learns from those only;
and the same small classifier, for the same number of steps, learns from the real ones, from the GAN's samples (so many
of each class), from both, and from the real ones beside copies of them moved by up to a pixel, the plain
augmentation that a GAN has to beat. Accuracy is on the whole test split, which neither saw. Runs go to `runs/augment/`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ganforge.core import ArrayData, DataRequest, Dataset, Options, Run, hookimpl, resume, train
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.classifier import fresh
from ganforge.plugins.blocks.settings import ClassifierOptions
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.datasets import digits

RUNS = Path("runs/augment")


class FewOptions(Options):
    """Which digits."""

    per_class: int = Field(20, ge=1, description="digits of each class, of the training split")
    draw: int = Field(0, ge=0, description="which ones")


def load(options: FewOptions, request: DataRequest) -> ArrayData:
    """A few digits of each class; the test split is whole."""
    data = digits.load(Options(), request)
    if request.split == "test":
        return data
    order = np.random.default_rng(options.draw).permutation(len(data))
    assert data.labels is not None
    chosen = [order[data.labels[order] == label][: options.per_class] for label in range(10)]
    rows = np.concatenate(chosen)
    return ArrayData(data.spec, data.samples[rows], data.labels[rows])


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [Dataset(name="few-digits", summary="a few digits of each class", options=FewOptions, load=load)]


def play(arguments: argparse.Namespace, seed: int, registry: Registry) -> Run:
    """Train a run on few digits, or take it up where it stopped."""
    directory = RUNS / f"{arguments.per_class}-{arguments.width}-{arguments.steps}-{seed}"
    if (directory / "config.toml").exists():
        return resume(directory, registry=registry)
    wanted: dict[str, Any] = {
        "recipe": "cdcgan",
        "data": {"name": "few-digits", "per_class": arguments.per_class, "draw": seed},
        "architecture": {"width": arguments.width},
        "regularizers": {"diffaugment": True},
        "batch_size": 32,
        "steps": arguments.steps,
        "seed": seed,
        "machine": {"device": "cpu", "threads": 1},
        "observers": [],
    }
    return train(wanted, directory, registry=registry)


def together(first: ArrayData, second: ArrayData) -> ArrayData:
    assert first.labels is not None
    assert second.labels is not None
    samples = np.concatenate([first.samples, second.samples])
    return ArrayData(first.spec, samples, np.concatenate([first.labels, second.labels]))


def shifted(data: ArrayData, copies: int, seed: int) -> ArrayData:
    """Copies of pictures moved by up to a pixel each way."""
    assert data.labels is not None
    random = np.random.default_rng(seed)
    rows = np.arange(len(data)).repeat(copies)
    moves = random.integers(-1, 2, (len(rows), 2))
    moved = [np.roll(data.samples[row], move, axis=(1, 2)) for row, move in zip(rows, moves, strict=True)]
    return ArrayData(data.spec, np.stack(moved), data.labels[rows])


def accuracy(learned: ArrayData, test: ArrayData, images: int, seed: int) -> float:
    """In per cent, of a small classifier that saw so many pictures of what it learns from."""
    options = ClassifierOptions(width=16, images=images, seed=seed)
    classifier = fresh(learned.spec, options)
    classifier.learn(learned, np.arange(len(learned)), options, np.random.default_rng(seed))
    return 100 * classifier.measure(test, np.arange(len(test)))


def figures(arguments: argparse.Namespace, seed: int, registry: Registry) -> Iterator[tuple[str, float]]:
    """The accuracy of a classifier that learned from each."""
    run = play(arguments, seed, registry)
    real = load(FewOptions(per_class=arguments.per_class, draw=seed), DataRequest())
    test = digits.load(Options(), DataRequest(split="test"))
    pixels, labels = run.game.averaged_generator.sampler(seed)(0, 10 * arguments.samples)
    made = ArrayData(real.spec, pixels, labels)
    copies = max(1, arguments.samples // arguments.per_class)
    for name, learned in (
        ("real", real),
        ("samples", made),
        ("real and samples", together(real, made)),
        ("real and shifted", together(real, shifted(real, copies, seed))),
    ):
        yield name, accuracy(learned, test, arguments.images, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=20)
    parser.add_argument("--samples", type=int, default=100, help="of each class")
    parser.add_argument("--steps", type=int, default=1500, help="rounds of the GAN")
    parser.add_argument("--width", type=int, default=16, help="of the GAN")
    parser.add_argument("--images", type=int, default=25_600, help="pictures a classifier sees")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry(files=[Path(__file__)], fallback=BUILTIN)
    found: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        for name, value in figures(arguments, seed, registry):
            found.setdefault(name, []).append(value)
            print(f"seed {seed}: {name}: {value:.1f}%", flush=True)
    print(f"\n| learned from | {' | '.join(f'seed {seed}' for seed in arguments.seeds)} | mean |")
    print("|---" * (len(arguments.seeds) + 2) + "|")
    for name, values in found.items():
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in values)} | {np.mean(values):.1f} |")


if __name__ == "__main__":
    main()
