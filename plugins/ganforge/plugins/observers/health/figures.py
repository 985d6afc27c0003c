"""The figures, each from tensors alone.

d_low, d_high       10 and 90 % quantiles of the critic's opinion of real, held-out and generated samples
accuracy            share of each that it is right about, for losses with an even level
separation          chance that a held-out sample ranks above a generated one, or below where that is higher: 0.5 to 1
overfitting/r_v     how far the opinion of held-out samples has moved from that of real ones towards that of generated
                    ones, 0 to 1, given where the critic tells these two apart by more than noise; overfitting/r_t:
                    mean sign of the opinion of real ones (ADA, 2006.06676, equation 1)
variety/distance    mean distance between two generated samples, over that between two real ones
variety/within_class  the same between samples of one class, for generators that take labels
variety/precision, variety/recall, variety/coverage  of samples as they are, without features, k = 5 (2002.09797)
support             how many different pictures the generator has, by the birthday paradox (1706.08224): among n draws
                    of N equally likely ones, n (n - 1) / 2 N pairs are alike; half of all batches of s have a pair
                    when N = s² / (2 ln 2), or 0.72 s². Alike are two that are nearer than `ALIKE` times the usual
                    nearest neighbour of real samples. At most n (n - 1) / 2, where no pair is alike
output/saturated    share of values within 1 % of the ends of the range, less the share among real ones
output/dead         share of values that are the same in all samples, less the share among real ones
singular            the largest singular value of the generator's weights (BigGAN, 1809.11096, section 4.1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ganforge.core.draw import Batch
from ganforge.plugins.blocks.equalised import Equalised
from ganforge.plugins.blocks.manifolds import prdc

QUANTILES = {"d_low": 0.1, "d_high": 0.9}
ALIKE = 0.5
END, SAME = 0.99, 1e-3
DIRECTIONS = 12
BEYOND_NOISE = 5.0
"""Standard errors. The noise of r_v's numerator is about that of its denominator: at this gap it moves r_v by a fifth,
and chance alone would have to go three times as far for 0.6."""


def of_critic(opinions: Mapping[str, Tensor], even: float | None) -> dict[str, Tensor]:
    """From opinions float32 [n] of `real`, `fake` and, where there are any, `held_out` samples."""
    found = {
        f"{name}/{kind}": torch.quantile(opinion, level)
        for name, level in QUANTILES.items()
        for kind, opinion in opinions.items()
    }
    real, fake, held_out = opinions["real"], opinions["fake"], opinions.get("held_out")
    if even is not None:
        right = {kind: (opinion < even if kind == "fake" else opinion > even) for kind, opinion in opinions.items()}
        found |= {f"accuracy/{kind}": which.float().mean() for kind, which in right.items()}
        found["overfitting/r_t"] = (real - even).sign().mean()
    if held_out is not None:
        found["d_held_out"] = held_out.mean()
        found["separation"] = separation(held_out, fake)
        found |= _overfitting(real, held_out, fake)
    return found


def _overfitting(real: Tensor, held_out: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """ADA's r_v; nothing of a critic that cannot tell, whose gap between real and generated is noise."""
    gap = real.mean() - fake.mean()
    error = (real.var() / len(real) + fake.var() / len(fake)).sqrt()
    if not gap.abs() > BEYOND_NOISE * error:
        return {}
    return {"overfitting/r_v": ((real.mean() - held_out.mean()) / gap).clamp(0, 1)}


def separation(first: Tensor, second: Tensor) -> Tensor:
    """How well a threshold tells [n] from [m]: the area under the ROC curve, or its complement if that is larger."""
    above = (first[:, None] > second).float() + 0.5 * (first[:, None] == second).float()
    area = above.mean()
    return torch.maximum(area, 1 - area)


def of_samples(samples: Tensor, real: Tensor, *, images: bool) -> dict[str, Tensor]:
    """From float32 [n, *shape] of both sides, images in [-1, 1]."""
    flat, flat_real = samples.detach().flatten(1).double().cpu(), real.detach().flatten(1).double().cpu()
    neighbours = prdc(flat_real, flat, k=min(5, len(flat) - 1, len(flat_real) - 1))
    found = {
        "variety/distance": nn.functional.pdist(flat).mean() / nn.functional.pdist(flat_real).mean(),
        **{f"variety/{name}": torch.tensor(neighbours[name]) for name in ("precision", "recall", "coverage")},
    }
    if images:
        found["support"] = support(flat, flat_real)
        found["output/saturated"] = (flat.abs() > END).double().mean() - (flat_real.abs() > END).double().mean()
        found["output/dead"] = (flat.std(0) < SAME).double().mean() - (flat_real.std(0) < SAME).double().mean()
    return found


def within_class(samples: Batch, real: Batch) -> dict[str, Tensor]:
    """Of both sides with their labels: distances of pairs of one class, over all classes that have pairs."""
    assert samples.labels is not None
    assert real.labels is not None
    ratios = []
    for label in samples.labels.unique():
        apart = [_distances(side.samples[side.labels == label]) for side in (samples, real)]
        if all(len(distances) for distances in apart):
            ratios.append(apart[0].mean() / apart[1].mean())
    return {"variety/within_class": torch.stack(ratios).mean()} if ratios else {}


def _distances(samples: Tensor) -> Tensor:
    return nn.functional.pdist(samples.detach().flatten(1).double().cpu())


def support(samples: Tensor, real: Tensor) -> Tensor:
    """How many different samples there seem to be, from float64 [n, dim]."""
    apart = nn.functional.pdist(samples)
    between = torch.cdist(real, real).fill_diagonal_(torch.inf)
    alike = int((apart < ALIKE * between.min(dim=1).values.median()).sum())
    return torch.tensor(len(apart) / max(alike, 1))


def of_weights(network: nn.Module) -> dict[str, Tensor]:
    """The largest singular value among a network's weights of two dimensions or more, as they are in use."""
    values = [largest_singular_value(weight) for weight in _matrices(network)]
    return {"singular": torch.stack(values).max()} if values else {}


def largest_singular_value(matrix: Tensor) -> Tensor:
    """Of float32 [n, m], the largest in the Krylov space of a random vector: from below, as a rule within 1 %.

    nan where the matrix is not finite.
    """
    start = torch.randn(matrix.shape[1], 1, generator=torch.Generator().manual_seed(0)).to(matrix.device)
    space = nn.functional.normalize(start, dim=0)
    for _ in range(min(DIRECTIONS, matrix.shape[1]) - 1):
        further = nn.functional.normalize(matrix.mT @ nn.functional.normalize(matrix @ space[:, -1:], dim=0), dim=0)
        space, _ = torch.linalg.qr(torch.cat([space, further], dim=1))
    stretched = matrix @ space
    finite = bool(stretched.isfinite().all())
    return torch.linalg.matrix_norm(stretched, 2) if finite else stretched.new_full((), torch.nan)


def _matrices(network: nn.Module) -> Iterator[Tensor]:
    for module in network.modules():
        scale = module.scale if isinstance(module, Equalised) else 1.0
        for parameter in module.parameters(recurse=False):
            if parameter.ndim > 1:
                yield scale * parameter.detach().float().flatten(1)
