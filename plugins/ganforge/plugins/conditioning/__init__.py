"""How labels enter the networks of any architecture.

Each wraps or rewrites a network from outside, so that an architecture need not know of labels: `concat` and
`embedding` (both networks), `conditional-batch-norm` (generator), `projection` and `auxiliary-classifier`
(discriminator), and `own` for architectures that take labels by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import Field

from ganforge.core import Built, Conditioning, Options, Regularizer, hookimpl


class EmbeddingOptions(Options):
    """How many numbers stand for a class."""

    dim: int = Field(32, ge=1, le=4096, description="numbers that are learned for each class")


class ClassifierOptions(Options):
    """How much the classes count beside the critic's verdict."""

    weight: float = Field(1.0, ge=0, description="weight of the class loss in both players' losses")


def concat_to_latent(options: Any, built: Built, make: Callable[[Built], Any]) -> Any:
    from ganforge.plugins.conditioning import concat

    return concat.generator(getattr(options, "dim", None), built, make)


def concat_to_sample(options: Any, built: Built, make: Callable[[Built], Any]) -> Any:
    from ganforge.plugins.conditioning import concat

    return concat.discriminator(getattr(options, "dim", None), built, make)


def condition_norms(options: Options, built: Built, make: Callable[[Built], Any]) -> Any:
    from ganforge.plugins.conditioning import norm

    return norm.generator(built, make)


def project(options: Options, built: Built, make: Callable[[Built], Any]) -> Any:
    from ganforge.plugins.conditioning import heads

    return heads.projection(built, make)


def classify(options: Options, built: Built, make: Callable[[Built], Any]) -> Any:
    from ganforge.plugins.conditioning import heads

    return heads.classifier(built, make)


def build_class_loss(options: ClassifierOptions) -> Any:
    from ganforge.plugins.conditioning import heads

    return heads.ClassLoss(options.weight)


def own_generator(options: Options, built: Built, make: Callable[[Built], Any]) -> Any:
    return make(replace(built, labelled=built.labelled | {"generator"}))


def own_discriminator(options: Options, built: Built, make: Callable[[Built], Any]) -> Any:
    return make(replace(built, labelled=built.labelled | {"discriminator"}))


@hookimpl
def ganforge_conditionings() -> list[Conditioning[Any]]:
    return [
        Conditioning(
            name="concat",
            summary="one-hot labels beside z, and as maps beside the image",
            paper="1411.1784",
            generator=concat_to_latent,
            discriminator=concat_to_sample,
            pair=("concat", "concat"),
        ),
        Conditioning(
            name="embedding",
            summary="learned numbers for each class beside z, and as maps beside the image",
            paper="1411.1784",
            options=EmbeddingOptions,
            generator=concat_to_latent,
            discriminator=concat_to_sample,
            pair=("embedding", "embedding"),
        ),
        Conditioning(
            name="conditional-batch-norm",
            summary="each class has its own scales and shifts in the generator's batch norms",
            paper="1610.07629",
            generator=condition_norms,
            pair=("conditional-batch-norm", "projection"),
        ),
        Conditioning(
            name="projection",
            summary="the discriminator adds how well its features fit the class",
            paper="1802.05637",
            discriminator=project,
            pair=("conditional-batch-norm", "projection"),
        ),
        Conditioning(
            name="auxiliary-classifier",
            summary="the discriminator also names the class, and both players want it right",
            paper="1610.09585",
            discriminator=classify,
            pair=("concat", "auxiliary-classifier"),
            regularizers=("auxiliary-classifier",),
        ),
        Conditioning(
            name="own",
            summary="the architecture's own way with labels",
            generator=own_generator,
            discriminator=own_discriminator,
            pair=("own", "own"),
        ),
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="auxiliary-classifier",
            summary="the class loss of the discriminator's conditioning of this name",
            paper="1610.09585",
            options=ClassifierOptions,
            build=build_class_loss,
        )
    ]
