"""f-AnoGAN beside a plain autoencoder: how well each tells a class it never saw, class by class.

    python benchmarks/anomalies.py [--data digits] [--resolution 8] [--steps 1000] [--width 16] [--seeds 0 1 2]

Each class in turn is left out: a method learns from the training pictures of the other nine, and must then rank the
left-out class's pictures (of both splits) above the nine classes' held-out ones; the figure is the area under the ROC
curve, 0.5 by chance. The autoencoder is the same encoder and generator, trained on the squared error of pixels by Adam
with 1e-3, in as many steps as f-AnoGAN has rounds; its error is its score. f-AnoGAN's rates are 5e-4, for there are few
rounds. A result is kept in docs/anomalies.json as soon as it is there and not made again; runs go to `runs/anomalies/`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from ganforge.core import ArrayData, DataRequest, Dataset, Options, Run, hookimpl, resume, train
from ganforge.core.config import DataConfig, load_data, resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.files import write_text
from ganforge.core.registry import Registry, default_registry, set_default_registry
from ganforge.core.run import build_game
from ganforge.plugins.builtin import BUILTIN

RUNS = Path("runs/anomalies")
RESULTS = Path("docs/anomalies.json")
METHODS = ("f-anogan", "autoencoder")
BATCH, RATE = 64, 1e-3
QUICK = 5e-4  # of G, D and E: so few rounds are too short for the paper's 1e-4 and 5e-5


class LeftOutOptions(Options):
    """A data set without one of its classes."""

    source: str = Field(description="the data set")
    without: str = Field(description="the class to leave out, by name")


def load(options: LeftOutOptions, request: DataRequest) -> ArrayData:
    """One split of the source, less the class."""
    config = DataConfig(name=options.source, resolution=request.resolution)
    data = load_data(config, default_registry(), request.split)
    samples, labels = data.fetch(np.arange(len(data)))
    assert labels is not None
    kept = labels != data.spec.classes.index(options.without)
    return ArrayData(data.spec.model_copy(update={"classes": ()}), samples[kept])


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    return [Dataset(name="left-out", summary="a data set less a class", options=LeftOutOptions, load=load)]


def request(arguments: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    return {
        "recipe": {"name": "f-anogan", "width": arguments.width, "encoder": {"lr": QUICK}},
        "data": {
            "name": "left-out", "source": arguments.data, "without": name, "resolution": arguments.resolution
        },
        "architecture": {"width": arguments.width},
        "generator": {"lr": QUICK},
        "discriminator": {"lr": QUICK},
        "seed": seed,
        "steps": arguments.steps,
        "every": arguments.steps,
        "machine": {"device": "cpu", "threads": 1},
        "observers": [],
    }  # fmt: skip


def judged(arguments: argparse.Namespace, name: str, asked: dict[str, Any]) -> tuple[Tensor, np.ndarray]:
    """What is scored, float32 [n, C, H, W] in [-1, 1], and whether each is of the class left out, bool [n]."""
    config = resolve(asked, default_registry())[0].data
    normal = load_data(config, default_registry(), "test").fetch
    anomalous = []
    for split in ("train", "test"):
        data = load_data(DataConfig(name=arguments.data, resolution=arguments.resolution), default_registry(), split)
        samples, labels = data.fetch(np.arange(len(data)))
        anomalous.append(samples[labels == data.spec.classes.index(name)])
    held_out = normal(np.arange(len(load_data(config, default_registry(), "test"))))[0]
    pixels = np.concatenate([held_out, *anomalous])
    return torch.from_numpy(pixels).float().div(127.5).sub(1), np.arange(len(pixels)) >= len(held_out)


def f_anogan(asked: dict[str, Any], directory: Path) -> Any:
    """The recipe's scores; a run that stopped is taken up."""
    run: Run = resume(directory) if (directory / "config.toml").exists() else train(asked, directory)
    game: Any = run.game
    return game.anomaly_scores


def autoencoder(asked: dict[str, Any], directory: Path) -> Any:
    """The same encoder and generator, trained on pixels alone; its scores."""
    config, data = resolve(asked, default_registry())
    game = build_game(config, data.spec, default_registry())
    networks, stream = nn.Sequential(game.networks["encoder"], game.networks["generator"]), Stream(data, config.seed)
    optimizer = torch.optim.Adam(networks.parameters(), RATE)
    for step in range(config.steps):
        x = Draw(config.seed, step, "autoencoder", 0, BATCH, game.device, stream, step).batch().samples
        optimizer.zero_grad()
        (networks(x).images - x).square().mean().backward()
        optimizer.step()
    networks.eval()
    return lambda x: (networks(x).images - x).square().flatten(1).mean(dim=1)


@torch.no_grad()
def area(score: Any, pictures: Tensor, anomalous: np.ndarray) -> float:
    """Under the ROC curve."""
    return float(roc_auc_score(anomalous, torch.cat([score(piece) for piece in pictures.split(250)]).numpy()))


def key(arguments: argparse.Namespace, *parts: object) -> str:
    """A result's name: all that decides it."""
    sizes = (arguments.data, arguments.resolution, arguments.width, arguments.steps)
    return " ".join(str(part) for part in (*sizes, *parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--resolution", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    set_default_registry(Registry([Path(__file__)], fallback=BUILTIN))
    torch.set_num_threads(1)
    source = DataConfig(name=arguments.data, resolution=arguments.resolution)
    classes = load_data(source, default_registry(), "test").spec.classes
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for seed in arguments.seeds:
        for name in classes:
            for method, make in zip(METHODS, (f_anogan, autoencoder), strict=True):
                found = key(arguments, method, name, seed)
                if found not in results:
                    asked = request(arguments, name, seed)
                    score = make(asked, RUNS / found.replace(" ", "-").replace("/", "-"))
                    results[found] = round(area(score, *judged(arguments, name, asked)), 4)
                    print(f"{found}: {results[found]}", flush=True)
                    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
        write_text(RESULTS.with_suffix(".md"), page(arguments, classes, results))


def page(arguments: argparse.Namespace, classes: tuple[str, ...], results: dict[str, float]) -> str:
    """The Markdown page: a row for each class, the mean and range over seeds of each method."""
    rows = [[name, *(_cell(arguments, results, method, [name]) for method in METHODS)] for name in classes]
    rows.append(["all", *(_cell(arguments, results, method, classes) for method in METHODS)])
    command = f"python benchmarks/anomalies.py --data {arguments.data} --resolution {arguments.resolution} "
    command += f"--steps {arguments.steps} --width {arguments.width}"
    lines = [
        "# Anomalies",
        "",
        "Each class in turn is left out of the training; how well it is then told from the others' held-out pictures:",
        "the area under the ROC curve, 0.5 by chance, 1 at best. The mean over seeds, and the least and greatest. The",
        "autoencoder is the same encoder and generator trained on pixels. Made by",
        "",
        f"    {command}",
        "",
        "| left out | f-AnoGAN | autoencoder |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def _cell(arguments: argparse.Namespace, results: dict[str, float], method: str, names: Any) -> str:
    """Mean (least to greatest) over the seeds there are, of the mean over these classes."""
    found = [[results.get(key(arguments, method, name, seed)) for name in names] for seed in arguments.seeds]
    means = [float(np.mean(values)) for values in found if None not in values]  # type: ignore[arg-type]
    return f"{np.mean(means):.3f} ({min(means):.3f} to {max(means):.3f})" if means else ""


if __name__ == "__main__":
    main()
