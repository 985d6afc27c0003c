"""`perceptual-path-length`: how much a picture changes along the way from one latent to another, where it should glide.

Karras, Laine and Aila 2019 (StyleGAN, arXiv 1812.04948, section 4.1) in z, over whole paths: the first equation there.
Pairs of latents are as many as samples are asked for; both ends of a pair have one label. As in the published code, the
lowest and the highest hundredth of the distances are left out of the mean, and pictures are not rounded to pixels: at
a ten-thousandth of the way, whole pixels would hardly differ. A distance here is the Euclidean one between the
features of the extractor asked for, and not the weighted one of VGG16 (LPIPS) that the paper takes: figures compare
with those of equal features, and with no paper's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ganforge.core import Metric, Options, hookimpl

if TYPE_CHECKING:
    from ganforge.core.evaluation import Case


class PathOptions(Options):
    """How far apart two pictures are taken."""

    epsilon: float = Field(1e-4, ge=1e-6, le=0.1, description="the step along the path, of which 1 is the whole")


def build(options: PathOptions, case: Case) -> Any:
    from ganforge.plugins.metrics.perceptual_path_length.path import PathLength

    return PathLength(case, options.epsilon)


@hookimpl
def ganforge_metrics() -> list[Metric[Any]]:
    return [
        Metric(
            name="perceptual-path-length",
            summary="how fast features change between two latents, squared; low where pictures change smoothly",
            paper="1812.04948",
            options=PathOptions,
            build=build,
            needs=frozenset({"extractor", "generator"}),
            best={"ppl": "lowest"},
            floor=False,
        )
    ]
