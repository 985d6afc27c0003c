"""FID, KID, IS and PRDC beside other libraries' on the same features, and the time that both distances take.

    python benchmarks/agreement.py [--samples 2000] [--dim 64] [--wide 2048] [--many 5000] [--rounds 3] [--threads 1]

All get the same seeded float32 features, as an extractor gives them. The references are written out below in float64
numpy and scipy. Where subsets or splits are drawn there is one, of all samples, so that what is drawn does not matter.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import prdc
import torch
from scipy import linalg
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from ganforge.core import ArrayData, DataSpec
from ganforge.core.evaluation import Case, Extractor, Judged
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.metrics.frechet.distance import Moments, frechet
from ganforge.plugins.metrics.kernel import KernelOptions
from ganforge.plugins.metrics.kernel.distance import KernelDistance

K = 5
Figures = Mapping[str, float]


class Sides(NamedTuple):
    """Features float32 [n, dim], and logits of the generated ones."""

    real: Tensor
    generated: Tensor
    logits: Tensor


def draw(samples: int, dim: int) -> Sides:
    """Clouds that overlap, with features that are uneven, correlated and never negative, as Inception's are."""
    random = torch.Generator().manual_seed(0)
    mix = torch.randn(dim, dim, generator=random) * torch.logspace(0, -2, dim) / dim**0.5
    real, generated = (torch.randn(samples, dim, generator=random) @ mix for _ in range(2))
    return Sides(real.relu(), (1.05 * generated + 0.01).relu(), 3 * torch.randn(samples, 10, generator=random))


def ours(sides: Sides, registry: Registry) -> Figures:
    n = len(sides.real)
    found: dict[str, float] = {}
    options: dict[str, dict[str, int]] = {
        "fid": {},
        "kid": {"subsets": 1, "subset_size": n},
        "inception-score": {"splits": 1},
        "prdc": {"k": K},
    }
    pixels = np.zeros((n, 1, 1, 1), np.uint8)
    extractor = Extractor()
    extractor.dim, extractor.classes = sides.real.shape[1], sides.logits.shape[1]
    case = Case(ArrayData(DataSpec(shape=(1, 1, 1)), pixels), n, 0, extractor)
    for name, chosen in options.items():
        spec = registry.find("metric", name)
        scorer = spec.build(parse(spec.options, chosen, name), case)
        scorer.update(Judged(torch.from_numpy(pixels), None, sides.real, sides.logits), True)
        scorer.update(Judged(torch.from_numpy(pixels), None, sides.generated, sides.logits), False)
        found |= {key: float(value) for key, value in scorer.compute().items()}
    return found


def torchmetrics(sides: Sides) -> Figures:
    """Their metrics, with a network that changes nothing."""
    network: Any = nn.Identity()
    network.num_features = sides.real.shape[1]
    fid = import_with_torchvision("torchmetrics.image.fid").FrechetInceptionDistance(network)
    kid = import_with_torchvision("torchmetrics.image.kid").KernelInceptionDistance(
        network, subsets=1, subset_size=len(sides.real)
    )
    score = import_with_torchvision("torchmetrics.image.inception").InceptionScore(network, splits=1)
    for metric in (fid, kid):
        metric.update(sides.real, real=True)
        metric.update(sides.generated, real=False)
    score.update(sides.logits)
    return {"fid": float(fid.compute()), "kid": float(kid.compute()[0]), "is": float(score.compute()[0])}


def torch_fidelity(sides: Sides) -> Figures:
    fid, kid, isc = (import_with_torchvision(f"torch_fidelity.metric_{name}") for name in ("fid", "kid", "isc"))
    moments = [fid.fid_features_to_statistics(side) for side in (sides.generated, sides.real)]
    n, features = len(sides.real), (sides.generated, sides.real)
    distance = kid.kid_features_to_metric(*features, kid_subsets=1, kid_subset_size=n, verbose=False)
    return {
        "fid": fid.fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"],
        "kid": distance["kernel_inception_distance_mean"],
        "is": isc.isc_features_to_metric(sides.logits, splits=1)["inception_score_mean"],
    }


def prdc_package(sides: Sides) -> Figures:
    with contextlib.redirect_stdout(io.StringIO()):
        found = prdc.compute_prdc(sides.real.numpy(), sides.generated.numpy(), K)
    return {f"{name}_k{K}": float(value) for name, value in found.items()}


def reference(sides: Sides) -> Figures:
    real, generated, logits = (side.double().numpy() for side in sides)
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    divergences = (likely * np.log(likely / likely.mean(axis=0))).sum(axis=1)
    return {
        "fid": reference_fid(real, generated),
        "kid": reference_kid(real, generated),
        "is": float(np.exp(divergences.mean())),
        **reference_prdc(real, generated),
    }


def reference_fid(real: np.ndarray, generated: np.ndarray) -> float:
    """By singular values of centred samples, which singular covariances do not disturb."""
    means, (first, second) = real.mean(0) - generated.mean(0), (side - side.mean(0) for side in (real, generated))
    n, m = len(first) - 1, len(second) - 1
    shared = linalg.svdvals(linalg.qr(first, mode="r")[0] @ linalg.qr(second, mode="r")[0].T).sum() / np.sqrt(n * m)
    return float(means @ means + (first**2).sum() / n + (second**2).sum() / m - 2 * shared)


def reference_kid(real: np.ndarray, generated: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(s, s) for s in (real, generated))]
    return float(sum(within) - 2 * kernel(real, generated).mean())


def reference_prdc(real: np.ndarray, generated: np.ndarray) -> Figures:
    """With distances by differences."""
    radius, other = (np.sort(cdist(side, side), axis=1)[:, K] for side in (real, generated))
    distances = cdist(real, generated)
    near_real, near_generated = distances < radius[:, None], distances < other
    figures = {
        "precision": near_real.any(axis=0).mean(),
        "recall": near_generated.any(axis=1).mean(),
        "density": near_real.sum(axis=0).mean() / K,
        "coverage": near_real.any(axis=1).mean(),
    }
    return {f"{name}_k{K}": float(value) for name, value in figures.items()}


def agreement(title: str, sides: Sides, registry: Registry) -> None:
    """One row for each figure: ours, the reference, and how far from it each library is, relatively."""
    libraries = {"torchmetrics": torchmetrics(sides), "torch-fidelity": torch_fidelity(sides)}
    libraries = {"ours": ours(sides, registry), **libraries, "prdc": prdc_package(sides)}
    print(f"\n{title}\n\n| figure | float64 reference | ours | {' | '.join(f'{name} off by' for name in libraries)} |")
    print("|---" * (len(libraries) + 3) + "|")
    for figure, known in reference(sides).items():
        values = [library.get(figure) for library in libraries.values()]
        off = ["" if value is None else f"{abs(value - known) / abs(known):.1e}" for value in values]
        print(f"| `{figure}` | {known:.10g} | {values[0]:.10g} | {' | '.join(off)} |")


def frechet_speed(dim: int, rounds: int) -> None:
    """From moments of 2 × dim samples: only the distance itself is timed."""
    moments = [Moments(side.double().mean(0), torch.cov(side.double().T), len(side)) for side in draw(2 * dim, dim)[:2]]
    statistics_ = [{"mu": mean.numpy(), "sigma": covariance.numpy()} for mean, covariance, _ in moments]
    theirs = import_with_torchvision("torchmetrics.image.fid")._compute_fid
    fidelity = import_with_torchvision("torch_fidelity.metric_fid").fid_statistics_to_metric
    ways: dict[str, Callable[[], Any]] = {
        "ours: Cholesky, symmetric eigenvalues": lambda: frechet(*moments),
        "torchmetrics: eigenvalues": lambda: float(theirs(*moments[0][:2], *moments[1][:2])),
        "torch-fidelity: eigenvalues": lambda: fidelity(*statistics_, verbose=False)["frechet_inception_distance"],
        "scipy: square root of the matrix": lambda: by_matrix_root(*moments),
    }
    race(f"A Fréchet distance of {dim} features", ways, rounds)


def kernel_speed(samples: int, rounds: int, dim: int = 1280, subsets: int = 100, size: int = 1000) -> None:
    """From features of both sides: all subsets of them, drawn by each library's own means."""
    real, generated, _ = draw(samples, dim)
    kid = import_with_torchvision("torch_fidelity.metric_kid").kid_features_to_metric
    network: Any = nn.Identity()
    network.num_features = dim
    theirs = import_with_torchvision("torchmetrics.image.kid").KernelInceptionDistance(
        network, subsets=subsets, subset_size=size
    )
    theirs.update(real, real=True)
    theirs.update(generated, real=False)

    def by_ours() -> float:
        distance = KernelDistance(KernelOptions(subsets=subsets, subset_size=size), 0)
        distance.update(Judged(None, features=real), True)
        distance.update(Judged(None, features=generated), False)
        return float(distance.compute()["kid"])

    def by_torchmetrics() -> float:
        theirs._computed = None  # it would give its last answer again
        return float(theirs.compute()[0])

    def by_fidelity() -> float:
        found = kid(generated, real, kid_subsets=subsets, kid_subset_size=size, verbose=False)
        return float(found["kernel_inception_distance_mean"])

    ways = {"ours, float64": by_ours, "torchmetrics, float32": by_torchmetrics, "torch-fidelity, float32": by_fidelity}
    race(f"KID of {samples:,} samples of {dim} features, {subsets} subsets of {size:,}", ways, rounds)


def race(what: str, ways: Mapping[str, Callable[[], float]], rounds: int) -> None:
    """Processor time, of each way in turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    values = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            values[name] = way()
            taken[name].append(time.process_time() - start)
    print(f"\n{what}, {rounds} of each in turn:\n")
    print("| by | median CPU s | least CPU s | value |\n|---|---|---|---|")
    for name, seconds in taken.items():
        print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {values[name]:.12g} |")


def by_matrix_root(first: Moments, second: Moments) -> float:
    root = linalg.sqrtm((first.covariance @ second.covariance).numpy()).real
    traces = first.covariance.trace() + second.covariance.trace()
    return float((first.mean - second.mean).square().sum() + traces - 2 * np.trace(root))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"samples": 2000, "dim": 64, "wide": 2048, "many": 5000, "rounds": 3, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)  # torchmetrics shuffles, which moves its rounding errors
    warnings.filterwarnings("ignore", module="torchmetrics")
    warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
    os.environ["GANFORGE_DISABLE_PLUGINS"] = "all"
    registry = Registry(fallback=BUILTIN)
    with threadpool_limits(arguments.threads):
        for samples, dim in ((arguments.samples, arguments.dim), (arguments.dim, 4 * arguments.dim)):
            agreement(f"{samples} samples of {dim} features:", draw(samples, dim), registry)
        frechet_speed(arguments.wide, arguments.rounds)
        kernel_speed(arguments.many, arguments.rounds)


if __name__ == "__main__":
    main()
