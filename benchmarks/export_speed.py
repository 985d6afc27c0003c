"""What an export's passes save: the graph as traced, as exported, and in int8, in one run in onnxruntime.

    python benchmarks/export_speed.py [--recipes sngan-resnet,dcgan] [--resolution 32] [--batches 1,8,32] [--repeats 9]

Every row is the same generator with the same random weights. They take turns in one process on one thread, so that a
busy machine slows all alike; times are CPU milliseconds a batch, ratios to the traced graph are medians over the turns.
`largest difference` is from torch in fp32, on the proof's own latents: what a fused row may not change.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from ganforge.core.card import Card
from ganforge.core.config import resolve
from ganforge.core.registry import Registry
from ganforge.core.run import Run, build_game
from ganforge.export.exporter import _card, _choose
from ganforge.export.form import Form
from ganforge.export.graph import Frozen, freeze, trace
from ganforge.export.passes import fold_batch_norms, optimised, shuffle_transposed
from ganforge.export.precision import halved, quantised
from ganforge.export.proof import prove
from ganforge.plugins.builtin import BUILTIN

PLAIN = "as traced"


def generator(recipe: str, resolution: int) -> tuple[Frozen, Card]:
    """An untrained generator and the card of its export."""
    registry = Registry(fallback=BUILTIN)
    request = {"recipe": recipe, "data": {"name": "digits", "resolution": resolution}, "machine": {"device": "cpu"}}
    config, data = resolve(request, registry)
    run = Run(Path("untrained"), config, data.spec, data.fingerprint, registry)
    run.game = build_game(config, data.spec, registry)
    name, wanted = _choose(run, None)
    return freeze(run.game.ema[wanted.network]), _card(run, name, wanted, Form())


def variants(frozen: Frozen, card: Card, fp16: bool) -> dict[str, tuple[onnx.ModelProto, Card]]:
    """Graphs to compare, each with the card it is proved by."""
    traced = trace(frozen, card)
    folded = copy.deepcopy(traced)
    fold_batch_norms(folded)
    shuffled = copy.deepcopy(folded)
    shuffle_transposed(shuffled)
    small = card.model_copy(update={"precision": "int8"})
    found = {
        PLAIN: (traced, card),
        "batch norm folded": (folded, card),
        "and upsampling fused: fp32 as exported": (optimised(traced), card),
        "transposed as convolution and shuffle": (shuffled, card),
        "int8 as exported": (quantised(traced, small), small),
    }
    if fp16:
        half = card.model_copy(update={"precision": "fp16"})
        found["fp16 as exported"] = (optimised(trace(halved(frozen), half)), half)
    return found


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def cpu_milliseconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return 1000 * (time.process_time() - start)


def measure(
    sessions: Mapping[str, onnxruntime.InferenceSession], card: Card, n: int, repeats: int
) -> dict[str, list[float]]:
    """Milliseconds a batch of each, in turns; the first turn warms up."""
    feed = card.feed_seeds(np.arange(n), np.zeros(n, np.int64))
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(repeats + 1):
        for name, one in sessions.items():
            taken[name].append(cpu_milliseconds(lambda one=one: one.run(None, feed)))  # type: ignore[misc]
    return {name: times[1:] for name, times in taken.items()}


def show(recipe: str, arguments: argparse.Namespace) -> None:
    frozen, card = generator(recipe, arguments.resolution)
    graphs = variants(frozen, card, arguments.fp16)
    proofs = {name: prove(model, frozen, its, force=True) for name, (model, its) in graphs.items()}
    sessions = {name: session(model) for name, (model, _) in graphs.items()}
    print(f"\n{recipe}, {card.data}, onnxruntime {onnxruntime.__version__}, one thread\n")
    print("| graph | batch | CPU ms a batch | times as fast (range) | largest difference |\n|---|---|---|---|---|")
    for n in map(int, arguments.batches.split(",")):
        taken = measure(sessions, card, n, arguments.repeats)
        for name, times in taken.items():
            ratios = [plain / own for plain, own in zip(taken[PLAIN], times, strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
            difference = proofs[name].max_difference
            print(f"| {name} | {n} | {statistics.median(times):.2f} | {spread} | {difference:.1e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", default="sngan-resnet,dcgan")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--fp16", action="store_true", help="also fp16, which is slow on a CPU")
    arguments = parser.parse_args()
    for recipe in arguments.recipes.split(","):
        show(recipe, arguments)


if __name__ == "__main__":
    main()
