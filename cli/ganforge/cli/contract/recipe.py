"""The promises a recipe makes, each tried: a training of seconds, then resume, export, proof, samples, two processes.

A promise holds, fails, or does not apply for a reason that can be told. What a recipe trains here is its own
settings with the `small` ones of its spec on top, on embedded pictures.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from ganforge.core import GanforgeError, Run, resume, train
from ganforge.core.config import load_data, merge
from ganforge.core.errors import Interrupted
from ganforge.core.files import write_text
from ganforge.core.pictures import to_pixels
from ganforge.core.registry import Registry
from ganforge.core.run import build_game

T = TypeVar("T")

ROUNDS = 4
TOY_ROUNDS = (200, 1600)
"""How long a recipe may take to learn a toy: at first, and at most."""
BATCHES = (1, 2, 7, 16)
PROCESSES_AGREE = 1e-5
"""Between one process and two, in the networks' outputs: rounding only."""


@dataclass(frozen=True)
class Outcome:
    """Whether a promise holds; `words` say why not, or why it does not apply."""

    state: Literal["holds", "exempt", "fails"] = "holds"
    words: str = ""


HOLDS = Outcome()


@dataclass(frozen=True)
class Trial:
    """A recipe's short training, and where its files are."""

    recipe: str
    registry: Registry
    folder: Path
    settings: Mapping[str, Any]
    run: Run

    @property
    def file(self) -> Path:
        return self.folder / "model.onnx"


def request(recipe: str, registry: Registry, data: Mapping[str, Any], /, **changes: Any) -> dict[str, Any]:
    """What `train` is asked for: the recipe at tiny size, quietly, for a few rounds."""
    base = {
        "recipe": recipe,
        "data": data,
        "steps": ROUNDS,
        "every": ROUNDS // 2,
        "log_every": 1,
        "samples": 4,
        "observers": [],
        "machine": {"device": "cpu", "threads": 1},
    }
    return merge(merge(base, registry.find("recipe", recipe).small), changes)


def given(recipe: str, registry: Registry, folder: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe that follows another is asked for beside its own: a tiny run of that one, trained in a folder."""
    if not (first := registry.find("recipe", recipe).follows):
        return {}
    train(request(first, registry, data), folder, registry=registry)
    return {"recipe": {"of": str(folder)}}


def check(recipe: str, registry: Registry, folder: Path, data: Mapping[str, Any]) -> dict[str, Outcome]:
    """Every promise of one recipe but that of two processes, by name."""
    trial = _tried(_trained, recipe, registry, folder, data)
    if isinstance(trial, Outcome):
        return dict.fromkeys(PROMISES, trial)
    tried = PROMISES if trial.run.game.exports() else WITHOUT_EXPORTS
    return {name: _tried(promise, trial) if name in tried else NOTHING for name, promise in PROMISES.items()}


def _trained(recipe: str, registry: Registry, folder: Path, data: Mapping[str, Any]) -> Trial:
    settings = request(recipe, registry, data, **given(recipe, registry, folder / "first", data))
    return Trial(recipe, registry, folder, settings, train(settings, folder / "run", registry=registry))


def _tried(function: Callable[..., T], *arguments: Any) -> T | Outcome:
    """What a function gives, or how it fails: whatever goes wrong in a plugin's code is the finding."""
    try:
        return function(*arguments)
    except Interrupted:
        raise
    except Exception as error:
        return Outcome("fails", failure(error))


def failure(error: Exception) -> str:
    """The first line of what went wrong; a sentence of ours says itself what kind it is."""
    return (str(error) if isinstance(error, GanforgeError) else f"{type(error).__name__}: {error}").splitlines()[0]


def finite(trial: Trial) -> Outcome:
    """Every figure of every round, and every weight after the last."""
    lines = [json.loads(line) for line in (trial.run.directory / "metrics.jsonl").read_text().splitlines()]
    broken = sorted({name for line in lines for name, value in line.items() if value is None})
    weights = [name for name, value in trial.run.game.state_dict().items() if not torch.isfinite(value).all()]
    if broken or weights:
        return Outcome("fails", f"not finite: {', '.join(broken + weights[:3])}")
    return HOLDS if len(lines) == ROUNDS else Outcome("fails", f"{len(lines)} lines of figures in {ROUNDS} rounds")


def learns(trial: Trial) -> Outcome:
    """The samples' energy distance to the data falls to half of what it was before training, sooner or later."""
    rounds, most = TOY_ROUNDS
    toy = {"steps": rounds, "every": rounds, "log_every": rounds}
    run = train({**trial.settings, **toy}, trial.folder / "toy", registry=trial.registry)
    real = load_data(run.config.data, trial.registry).fetch(np.arange(256))[0]
    real = run.data.domain(real, 1) if run.data.domains else real
    real = real.astype(np.float32) / 127.5 - 1 if real.dtype == np.uint8 else real
    fresh = build_game(run.config, run.data, trial.registry)
    latents = run.game.inputs(0, 256)
    labels = run.data.labels(256) if run.labelled else None
    before, after = (energy_distance(game.sample(latents, labels), real) for game in (fresh, run.game))
    while after > before / 2 and rounds < most:
        rounds *= 2
        with _quietly():  # that a decayed learning rate rises again is meant here
            run = resume(run.directory, steps=rounds, registry=trial.registry)
        after = energy_distance(run.game.sample(latents, labels), real)
    if after <= before / 2:
        return HOLDS
    return Outcome("fails", f"distance to the data {before:.3g} before and {after:.3g} after {run.round} rounds")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    log = logging.getLogger("ganforge")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def energy_distance(one: np.ndarray, two: np.ndarray) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of two samples [n, …] (Székely and Rizzo 2013); 0 where they are alike."""
    x, y = (torch.from_numpy(np.ascontiguousarray(samples)).flatten(1).double() for samples in (one, two))
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


def resumes(trial: Trial) -> Outcome:
    """From the checkpoint half-way, to the last bit of all state and of a sample."""
    again = trial.folder / "again"
    shutil.copytree(trial.run.directory, again)
    shutil.rmtree(again / "checkpoints" / f"step-{ROUNDS:06d}")
    second = resume(again, registry=trial.registry)
    one, two = trial.run.game.state_dict(), second.game.state_dict()
    differing = [name for name in one if name not in two or not torch.equal(one[name], two[name])]
    if differing or one.keys() != two.keys():
        return Outcome("fails", f"differs after a resume: {', '.join(differing[:3])}")
    same = np.array_equal(trial.run.sample(3, seed=1), second.sample(3, seed=1))
    return HOLDS if same else Outcome("fails", "samples differ after a resume")


def exports(trial: Trial) -> Outcome:
    """A file that is proved against torch in every batch size."""
    from ganforge.export import export

    for name in reversed(list(trial.run.game.exports())):  # the first stays, for the other promises
        card = export(trial.run, trial.file, network=name)
        if card.parity is None or card.parity.batches != BATCHES:
            return Outcome("fails", f"proved in batches of {card.parity and card.parity.batches}, not {BATCHES}")
    return HOLDS


def has_card(trial: Trial) -> Outcome:
    """What a stranger needs to know of the file: what it is, how to call it, what proves it."""
    from ganforge.serve import load

    card = load(trial.file).card
    facts = ("recipe", "plugin", "architecture", "dataset", "inputs", "outputs", "config_sha256", "ganforge", "parity")
    missing = [name for name in facts if not getattr(card, name)]
    if trial.registry.find("recipe", trial.recipe).paper and not card.paper:
        missing.append("paper")
    if trial.run.labelled and not (card.labelled and card.data.classes):
        missing.append("classes")
    return Outcome("fails", f"the card lacks {', '.join(missing)}") if missing else HOLDS


_SAMPLER = """
import sys
sys.modules["torch"] = None
from ganforge.serve import load
import numpy as np
model = load(sys.argv[1])
given = sys.argv[3:]
np.save(sys.argv[2], model.translate(np.load(given[0])) if given else model.sample(6, 3))
"""


def samples_without_torch(trial: Trial) -> Outcome:
    """In a process in which torch cannot be imported."""
    command = [sys.executable, "-c", _SAMPLER, str(trial.file), str(trial.folder / "samples.npy")]
    game = trial.run.game
    if game.translates:  # what is to be translated has no number in the file
        np.save(trial.folder / "pictures.npy", to_pixels(game.given(game.inputs(3, 6))))
        command.append(str(trial.folder / "pictures.npy"))
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    return HOLDS if done.returncode == 0 else Outcome("fails", done.stderr.strip().splitlines()[-1])


def same_picture(trial: Trial) -> Outcome:
    """A seed gives the same pictures from the run and from the file, but for the rounding of a pixel."""
    expected = trial.run.sample(6, 3)
    got = np.load(trial.folder / "samples.npy")
    if expected.ndim == 4:
        difference = np.abs(to_pixels(expected).astype(int) - got).max()
        return HOLDS if difference <= 1 else Outcome("fails", f"pixels differ by {difference} of 255")
    difference = np.abs(expected - got).max()
    return HOLDS if difference < 1e-4 else Outcome("fails", f"points differ by {difference:.2g}")


PROMISES: Mapping[str, Callable[[Trial], Outcome]] = {
    "finite": finite,
    "learns": learns,
    "resumes to the bit": resumes,
    "export proved": exports,
    "card": has_card,
    "samples without torch": samples_without_torch,
    "same picture": same_picture,
}

WITHOUT_EXPORTS = ("finite", "resumes to the bit")
"""What a recipe promises that trains no generator."""
NOTHING = Outcome("exempt", "its generator is another run's, which is not trained or exported again")

TWO_PROCESSES = "two processes"


def two_processes(
    recipes: Sequence[str], registry: Registry, folder: Path, data: Mapping[str, Any]
) -> dict[str, Outcome]:
    """Whether two processes train what one trains with the same batch, for all recipes in one start of torch."""
    asked = {recipe: _tried(_asked, recipe, registry, folder / "first" / recipe, data) for recipe in recipes}
    failed = {recipe: outcome for recipe, outcome in asked.items() if isinstance(outcome, Outcome)}
    runs = {recipe: settings for recipe, settings in asked.items() if not isinstance(settings, Outcome)}
    job = {
        "plugins": [one.distribution for one in registry.plugins if one.distribution.endswith(".py")],
        "runs": runs,
        "folder": str(folder / "two"),
    }
    write_text(folder / "job.json", json.dumps(job))
    worker = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*worker, "-m", "ganforge.cli.contract.worker", str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        fails = Outcome("fails", f"two processes: {done.stderr.strip().splitlines()[-1]}")
        return {**failed, **dict.fromkeys(runs, fails)}
    return {**failed, **{recipe: _tried(_compared, recipe, registry, folder, runs[recipe]) for recipe in runs}}


def _asked(recipe: str, registry: Registry, first: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    return request(recipe, registry, data, every=ROUNDS, **given(recipe, registry, first, data))


def _compared(recipe: str, registry: Registry, folder: Path, settings: Mapping[str, Any]) -> Outcome:
    problem = folder / "two" / f"{recipe}.error"
    if problem.exists():
        return Outcome("fails", problem.read_text())
    one = train(settings, folder / "one" / recipe, registry=registry)
    two = Run.load(folder / "two" / recipe, registry=registry)
    difference = float(np.abs(one.sample(16, seed=3) - two.sample(16, seed=3)).max())
    if difference <= PROCESSES_AGREE:
        return HOLDS
    if coupled := couplings(one.game):
        return Outcome("exempt", " and ".join(coupled))
    return Outcome("fails", f"samples of one process and of two differ by {difference:.2g}")


def couplings(game: torch.nn.Module) -> list[str]:
    """What of a game sees a process's own part of the batch, so that two processes cannot equal one."""
    found = {
        getattr(module, "couples_batch", None)
        or (isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and "batch norm: statistics of each process")
        or (isinstance(module, torch.nn.modules.dropout._DropoutNd) and "dropout: drawn by each process")
        for module in game.modules()
    }
    return sorted(words for words in found if words)


def _environment() -> dict[str, str]:
    """Ours, with the source tree's roots on the path, for a clone that is not installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
