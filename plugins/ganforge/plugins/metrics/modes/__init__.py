"""`modes`: how much of a Gaussian mixture is covered, as VEEGAN (1705.07761) and PacGAN (1712.04086) count.

A sample belongs to its nearest mode. It is of high quality within three standard deviations of that mode's
centre (Euclidean distance); exp(-4.5) = 1.11% of a perfect sampler's points are not. A mode is captured when
a high-quality sample belongs to it. The reverse KL is that of PacGAN's section 4.1: from the shares that the
modes have of all samples, good or bad, to equal shares; a perfect sampler has about (modes - 1) / (2 n).
(PacGAN's published code leaves bad samples out of the shares; the paper's text, followed here, does not.)

One sample is soon there by chance: noise captures most modes that way. Two more counts say how much hangs on it. Within
four standard deviations, the other radius in use, one sample is enough too. And `modes_quarter` counts those with a
quarter of an equal share or more: n / (4 modes) samples of high quality. So many does Dist-GAN's published code
(1803.08887) ask for: 20 of 2,000 samples on 25 modes, within a radius of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ganforge.core import Data, GanforgeError, Metric, Mixture, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case

WITHIN, WIDER = 3, 4  # standard deviations
QUARTER = 1 / 4  # of an equal share
CHUNK = 2**22  # distances computed at once: 32 MiB


def score(samples: np.ndarray, data: Data) -> dict[str, float]:
    """Scores of samples, float32 [n, 2], against the mixture `data` was drawn from.

    Returns:
        modes: how many are captured, out of modes_of; modes_quarter: how many by a quarter of an equal share or more;
        high_quality: a share in [0, 1] of all n samples; modes_4_sigma, high_quality_4_sigma: what modes and
        high_quality are within four standard deviations; reverse_kl: in nats, 0 when all modes have equal shares,
        log(modes_of) when one has all. A sample that is not finite belongs to no mode and is not of high quality.

    Raises:
        GanforgeError: the data did not come from a mixture, or no sample is a finite point.
    """
    mixture: Mixture | None = getattr(data, "mixture", None)
    if mixture is None:
        raise GanforgeError("metric 'modes' needs data from a known mixture, such as ring or grid")
    finite = samples[np.isfinite(samples).all(axis=1)].astype(np.float64)
    if not len(finite):
        raise GanforgeError(f"metric 'modes' was given {len(samples)} samples, none of them a finite point")
    nearest, distance = _nearest(finite, mixture.centres)
    modes = len(mixture.centres)
    counts, wider, assigned = (
        np.bincount(nearest[distance <= bound * mixture.sigma], minlength=modes) for bound in (WITHIN, WIDER, np.inf)
    )
    return {
        "modes": float((counts > 0).sum()),
        "modes_of": float(modes),
        "modes_quarter": float((counts >= max(1, QUARTER * len(samples) / modes)).sum()),
        "modes_4_sigma": float((wider > 0).sum()),
        "high_quality": float(counts.sum() / len(samples)),
        "high_quality_4_sigma": float(wider.sum() / len(samples)),
        "reverse_kl": _kl_to_uniform(assigned),
    }


def _nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each point (int64 [n]) and its distance (float64 [n])."""
    nearest, distance = np.empty(len(points), np.int64), np.empty(len(points))
    step = max(1, CHUNK // len(centres))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        distances = np.linalg.norm(points[part, None] - centres, axis=2)
        nearest[part], distance[part] = distances.argmin(axis=1), distances.min(axis=1)
    return nearest, distance


def _kl_to_uniform(counts: np.ndarray) -> float:
    """KL(counts / sum || uniform) in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float((shares * np.log(shares * len(counts))).sum())


def build(options: Options, case: Case) -> Any:
    from ganforge.plugins.metrics.modes.scorer import Modes

    return Modes(case.data)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="modes",
            summary="modes captured, share of good samples and reverse KL on a Gaussian mixture",
            paper="1705.07761",
            build=build,
            needs=frozenset({"points"}),
            best={"high_quality": "highest", "modes": "highest", "reverse_kl": "lowest"},
            usual=1,
        )
    ]
