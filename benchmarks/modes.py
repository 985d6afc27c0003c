"""Mode coverage: every recipe that trains on points, three seeds each, as a Markdown table.

    python benchmarks/modes.py [--data ring] [--seeds 3 4 5] [--jobs 2] [--out docs/modes.md]

Each run is the recipe as it stands, with nothing set but the seed. Scores are the metric `modes` on 2,500
samples of the averaged generator. Runs go to `runs/modes/` and finished ones are not trained again. The recipes'
settings for points were chosen by trials on other seeds (0, 1, 2 and 10, 11, 12).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

SAMPLES = 2500
RUNS = Path("runs/modes")


def play(recipe: str, data: str, seed: int) -> dict[str, float]:
    """Train one run, or take it up where it stopped, and score it."""
    import torch

    from ganforge.core import Run, resume, train
    from ganforge.core.config import load_data, resolve
    from ganforge.core.registry import default_registry

    torch.set_num_threads(1)
    registry, directory = default_registry(), RUNS / f"{recipe}-{data}-{seed}"
    machine = {"device": "cpu", "threads": 1}
    wanted = {"recipe": recipe, "data": data, "seed": seed, "machine": machine, "every": 2000, "observers": []}
    config, _ = resolve(wanted, registry)
    if (directory / "config.toml").exists() and Run.load(directory).config.digest() != config.digest():
        shutil.rmtree(directory)  # the recipe has changed since
    if (directory / "config.toml").exists():
        resume(directory)
    else:
        train(wanted, directory)
    metric = registry.find("metric", "modes")
    points = Run.load(directory).sample(SAMPLES, seed=1)
    scores: dict[str, float] = metric.score(metric.options(), points, load_data(config.data, registry))
    return {**scores, "steps": config.steps, "moves": config.discriminator.moves}


def recipes_for_points(data: str) -> list[str]:
    """Every recipe that can be resolved and built on the data."""
    from ganforge.core import GanforgeError
    from ganforge.core.config import resolve
    from ganforge.core.registry import default_registry
    from ganforge.core.run import build_game

    registry, names = default_registry(), []
    for name in registry.all("recipe"):
        try:
            config, loaded = resolve({"recipe": name, "data": data}, registry)
            build_game(config, loaded.spec, registry)
        except GanforgeError:
            continue
        names.append(name)
    return names


def row(recipe: str, scores: list[dict[str, float]]) -> str:
    def spread(key: str, form: str) -> str:
        values = [score[key] for score in scores]
        return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"

    rounds = f"{scores[0]['steps']:,.0f} × {scores[0]['moves']:.0f}"
    modes = " / ".join(f"{score['modes']:.0f}" for score in scores)
    return f"| `{recipe}` | {rounds} | {modes} | {spread('high_quality', '.1%')} | {spread('reverse_kl', '.3f')} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ring")
    parser.add_argument("--recipes", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    recipes = arguments.recipes or recipes_for_points(arguments.data)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        pending = {
            recipe: [pool.submit(play, recipe, arguments.data, seed) for seed in arguments.seeds] for recipe in recipes
        }
        scores = {recipe: [future.result() for future in futures] for recipe, futures in pending.items()}
    of = next(iter(scores.values()))[0]["modes_of"]
    lines = [
        f"| recipe | rounds × D steps | modes of {of:.0f}, seeds {', '.join(map(str, arguments.seeds))} "
        "| high quality, median (range) | reverse KL, median (range) |",
        "|---|---|---|---|---|",
        *[row(recipe, scores[recipe]) for recipe in recipes],
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    if arguments.out:
        page = arguments.out.read_text(encoding="utf-8")
        begin, end = f"<!-- {arguments.data} begin -->\n", f"<!-- {arguments.data} end -->"
        before, after = page.split(begin)[0], page.split(end)[1]
        arguments.out.write_text(before + begin + table + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
