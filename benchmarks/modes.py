"""Mode coverage on points in the plane, beside published values: the tables of docs/modes.md.

    python benchmarks/modes.py [--data ring grid] [--rows vanilla wgan-gp …] [--seeds 3 4 5] [--jobs 2]
    python benchmarks/modes.py --rows r3gan --ten        # its ten seeds alone
    python benchmarks/modes.py --page                    # the page anew from the results there are, in seconds

A row is a recipe as it stands, with nothing set but the seed, or a recipe with a regularizer's defaults, as in
`vanilla+minibatch-discrimination`. Scores are the metric `modes` on 2,500 samples of the averaged generator. Each
finished training is written to modes.json beside the page at once and not trained again until its settings change; one
that was interrupted goes on where it stopped, in `runs/modes/`. The page shows every row of which all seeds are there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganforge.core import Data, GanforgeError
from ganforge.core.config import load_data, resolve
from ganforge.core.registry import Registry, set_default_registry
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.metrics.modes import score

SAMPLES = 2500
RUNS = Path("runs/modes")
PAGE = Path("docs/modes.md")
DATA = ("ring", "grid")
ROWS = (
    "vanilla",
    "unrolled",
    "vanilla+minibatch-discrimination",
    "lsgan",
    "wgan",
    "wgan-gp",
    "sngan",
    "pacgan",
    "r3gan",
)
SEEDS = [3, 4, 5]
TEN = "r3gan"
TEN_SEEDS = list(range(20, 30))
"""Fixed before any training with them, and never used to choose a setting."""

# Modes in table 1 of VEEGAN (Srivastava et al. 2017, arXiv 1705.07761), means over runs, with that paper's networks.
PUBLISHED: dict[str, dict[str, str]] = {
    "ring": {"vanilla": "1", "unrolled": "7.6"},
    "grid": {"vanilla": "3.3", "unrolled": "23.6"},
}
# Methods of that table that are no recipes.
ELSEWHERE: dict[str, dict[str, str]] = {
    "ring": {"ALI": "2.8", "VEEGAN": "8"},
    "grid": {"ALI": "15.8", "VEEGAN": "24.6"},
}

Scores = dict[str, float]


class Job(NamedTuple):
    """One training."""

    row: str
    data: str
    seed: int

    @property
    def key(self) -> str:
        return f"{self.data}/{self.row}/{self.seed}"

    def wanted(self) -> dict[str, Any]:
        """The config: the row's recipe and regularizer, and nothing that changes what is learned."""
        recipe, *regularizers = self.row.split("+")
        return {
            "recipe": recipe,
            "regularizers": {name: {} for name in regularizers},
            "data": self.data,
            "seed": self.seed,
            "machine": {"device": "cpu", "threads": 1},
            "every": 2000,
            "observers": {},
        }

    def digest(self, registry: Registry) -> str:
        return resolve(self.wanted(), registry)[0].digest()


def open_registry() -> Registry:
    """The plugins of this source tree, and those installed: an older installation must not hide a new recipe."""
    registry = Registry(fallback=BUILTIN)
    set_default_registry(registry)
    return registry


def play(job: Job) -> dict[str, Any]:
    """Train one run, or take it up where it stopped, and score it: what modes.json keeps."""
    import torch

    from ganforge.core import Run, resume, train

    torch.set_num_threads(1)
    registry, directory, since = open_registry(), RUNS / job.key, time.monotonic()
    config, data = resolve(job.wanted(), registry)
    if (directory / "config.toml").exists() and Run.load(directory).config.digest() != config.digest():
        shutil.rmtree(directory)  # the recipe has changed since
    if (directory / "config.toml").exists():
        resume(directory)
    else:
        train(job.wanted(), directory)
    return {
        "digest": config.digest(),
        "steps": config.steps,
        "moves": config.discriminator.moves,
        "seconds": round(time.monotonic() - since),
        **score(Run.load(directory).sample(SAMPLES, seed=1), data),
    }


def play_all(
    jobs: Sequence[Job],
    results: dict[str, dict[str, Any]],
    registry: Registry,
    workers: int,
    done: Callable[[], None],
) -> None:
    """Train what has no result with its present settings; `done` is called after each, and each is told."""
    due = [job for job in dict.fromkeys(jobs) if results.get(job.key, {}).get("digest") != job.digest(registry)]
    print(f"{len(due)} trainings, {len(set(jobs)) - len(due)} already there", flush=True)
    with ProcessPoolExecutor(workers) as pool:
        pending = {pool.submit(play, job): job for job in due}
        for count, future in enumerate(as_completed(pending), 1):
            job = pending[future]
            try:
                result = results[job.key] = future.result()
            except GanforgeError as error:  # one that diverges must not end the others
                print(f"[{count}/{len(due)}] {job.key}: {error}", flush=True)
                continue
            done()
            print(
                f"[{count}/{len(due)}] {job.key}: {result['modes']:.0f}/{result['modes_of']:.0f} modes, "
                f"{result['high_quality']:.1%} high quality, reverse KL {result['reverse_kl']:.3f}, "
                f"{result['seconds']} s",
                flush=True,
            )


def found(results: Mapping[str, Any], row: str, data: str, seeds: Iterable[int], registry: Registry) -> list[Scores]:
    """A row's results with its present settings: all seeds' or none."""
    jobs = [Job(row, data, seed) for seed in seeds]
    if not all(job.key in results and results[job.key]["digest"] == job.digest(registry) for job in jobs):
        return []
    return [results[job.key] for job in jobs]


def spread(scores: Sequence[Scores], key: str, form: str) -> str:
    values = [score[key] for score in scores]
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def line(name: str, scores: Sequence[Scores], published: str = "", rounds: str = "") -> str:
    modes = " / ".join(f"{score['modes']:.0f}" for score in scores)
    quality, kl = spread(scores, "high_quality", ".1%"), spread(scores, "reverse_kl", ".3f")
    return f"| {name} | {rounds} | {modes} | {quality} | {kl} | {published} |"


def rounds(scores: Sequence[Scores]) -> str:
    return f"{scores[0]['steps']:,.0f} × {scores[0]['moves']:.0f}"


def head(of: int, seeds: Sequence[int]) -> list[str]:
    return [
        f"| recipe | rounds × D steps | modes of {of}, seeds {', '.join(map(str, seeds))} "
        "| high quality, median (range) | reverse KL, median (range) | modes published |",
        "|---|---|---|---|---|---|",
    ]


def table(data: str, rows: Iterable[str], results: Mapping[str, Any], seeds: Sequence[int], registry: Registry) -> str:
    """The rows that are complete, then two that play no game: noise and the data itself."""
    loaded, blind = without_game(data, seeds, registry)
    lines = head(len(loaded.mixture.centres), seeds)  # type: ignore[attr-defined]
    for row in rows:
        if scores := found(results, row, data, seeds, registry):
            lines.append(line(f"`{row}`", scores, PUBLISHED[data].get(row, ""), rounds(scores)))
    lines += [f"| {name} (no recipe) | | | | | {modes} |" for name, modes in ELSEWHERE[data].items()]
    lines += [line(name, scores) for name, scores in blind.items()]
    return "\n".join(lines) + "\n"


def without_game(data: str, seeds: Sequence[int], registry: Registry) -> tuple[Data, dict[str, list[Scores]]]:
    """The data set, and the scores of two that play no game: noise and the data itself."""
    loaded = load_data(resolve({"recipe": "vanilla", "data": data}, registry)[0].data, registry)
    mixture = loaded.mixture  # type: ignore[attr-defined]
    generators = [np.random.default_rng(seed) for seed in seeds]
    side = 1.25 * mixture.centres.max()
    noise = [generator.uniform(-side, side, (SAMPLES, 2)) for generator in generators]
    perfect = [
        generator.choice(mixture.centres, SAMPLES) + mixture.sigma * generator.standard_normal((SAMPLES, 2))
        for generator in generators
    ]
    named = {"uniform noise": noise, "a perfect sampler": perfect}
    return loaded, {name: [score(points, loaded) for points in samples] for name, samples in named.items()}


def counts_table(seeds: Sequence[int], registry: Registry) -> str:
    """What each way to count modes makes of noise and of a perfect sampler."""
    counts = ("modes", "modes_4_sigma", "modes_quarter")
    lines = [
        f"| seeds {', '.join(map(str, seeds))} | `{'` | `'.join(counts)}` | `high_quality_4_sigma`, median (range) |",
        "|---|---|---|---|---|",
    ]
    for data in DATA:
        for name, scores in without_game(data, seeds, registry)[1].items():
            counted = [" / ".join(f"{score[count]:.0f}" for score in scores) for count in counts]
            quality = spread(scores, "high_quality_4_sigma", ".1%")
            lines.append(f"| {name}, `{data}` | {' | '.join(counted)} | {quality} |")
    return "\n".join(lines) + "\n"


def ten_table(row: str, results: Mapping[str, Any], registry: Registry) -> str:
    """One recipe on both data sets: the modes of every seed, and the worst of the rest."""
    lines = [
        f"| `{row}` on | modes, seeds {TEN_SEEDS[0]} to {TEN_SEEDS[-1]} | high quality, lowest | reverse KL, highest |",
        "|---|---|---|---|",
    ]
    for data in DATA:
        if scores := found(results, row, data, TEN_SEEDS, registry):
            modes = " / ".join(f"{score['modes']:.0f}" for score in scores)
            quality, kl = min(score["high_quality"] for score in scores), max(score["reverse_kl"] for score in scores)
            lines.append(f"| `{data}` | {modes} of {scores[0]['modes_of']:.0f} | {quality:.1%} | {kl:.3f} |")
    if len(lines) == 2:
        return f"No result with the present settings: `python benchmarks/modes.py --rows {row} --ten` makes them.\n"
    return "\n".join(lines) + "\n"


def put(page: str, name: str, table: str) -> str:
    """The page with the table between the markers of that name."""
    begin, end = f"<!-- {name} begin -->\n", f"<!-- {name} end -->"
    before, rest = page.split(begin)
    return before + begin + table + end + rest.split(end)[1]


def write_page(path: Path, results: Mapping[str, Any], seeds: Sequence[int], registry: Registry) -> None:
    """Every complete row goes to the page: the usual ones in their order, then others that were asked for once."""
    page = path.read_text(encoding="utf-8")
    rows = list(dict.fromkeys([*ROWS, *(key.split("/")[1] for key in sorted(results))]))
    for data in DATA:
        page = put(page, data, table(data, rows, results, seeds, registry))
    page = put(page, "counts", counts_table(seeds, registry))
    path.write_text(put(page, "ten seeds", ten_table(TEN, results, registry)), encoding="utf-8")


def refuse_unknown(rows: Iterable[str], registry: Registry) -> None:
    """Raises GanforgeError naming every recipe and regularizer nobody registered, before any training."""
    recipes, regularizers = registry.all("recipe"), registry.all("regularizer")
    unknown: list[str] = []
    for recipe, *added in (row.split("+") for row in rows):
        unknown += [f"recipe '{recipe}'"] * (recipe not in recipes)
        unknown += [f"regularizer '{name}'" for name in added if name not in regularizers]
    if unknown:
        raise GanforgeError(f"there is no {' and no '.join(dict.fromkeys(unknown))}: see ganforge recipes list")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--rows", nargs="+", default=ROWS, help="recipe or recipe+regularizer")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--ten", action="store_true", help=f"the rows' seeds {TEN_SEEDS[0]} to {TEN_SEEDS[-1]} alone")
    parser.add_argument("--page", action="store_true", help="train nothing: write the page of the results there are")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one core each")
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    registry, kept = open_registry(), arguments.out.with_suffix(".json")
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    seeds = TEN_SEEDS if arguments.ten else arguments.seeds
    jobs = [Job(row, data, seed) for data in arguments.data for row in arguments.rows for seed in seeds]
    if arguments.page:
        jobs = []
    elif arguments.rows is ROWS and not arguments.ten:
        jobs += [Job(TEN, data, seed) for data in arguments.data for seed in TEN_SEEDS]

    def done() -> None:
        kept.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        write_page(arguments.out, results, arguments.seeds, registry)

    try:
        refuse_unknown(arguments.rows, registry)
        play_all(jobs, results, registry, arguments.jobs, done)
    except GanforgeError as error:
        sys.exit(f"error: {error}")
    done()


if __name__ == "__main__":
    main()
