"""Minibatch discrimination (Salimans et al. 2016, arXiv 1606.03498, section 3.2).

The discriminator sees how close each sample is to the others of its batch, so that fakes which are all alike are
easy to tell.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class MinibatchDiscriminationOptions(Options):
    """The tensor T ∈ R^{A×B×C}; A is the number of features. The numbers are those of the authors' code."""

    kernels: int = Field(100, ge=1, le=4096, description="B: similarities a sample is described by")
    dim: int = Field(5, ge=1, le=512, description="C: values that each of them compares")


def build(options: MinibatchDiscriminationOptions) -> Any:
    from ganforge.plugins.tricks.minibatch_discrimination import similarity

    return similarity.MinibatchDiscrimination(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="minibatch-discrimination",
            summary="the discriminator sees how alike the samples of a batch are",
            paper="1606.03498",
            options=MinibatchDiscriminationOptions,
            build=build,
        )
    ]
