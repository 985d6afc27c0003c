"""Minibatch standard deviation (Karras et al. 2017, arXiv 1710.10196, section 3), for any discriminator."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ganforge.core import Options, Regularizer, hookimpl


class MinibatchStdDevOptions(Options):
    """Over how many samples."""

    group: int = Field(4, ge=2, description="samples whose standard deviation is taken together")


def build(options: MinibatchStdDevOptions) -> Any:
    from ganforge.plugins.tricks.minibatch_stddev import term

    return term.MinibatchStdDevEffect(options)


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="minibatch-stddev",
            summary="the discriminator sees how much its features vary among samples",
            paper="1710.10196",
            options=MinibatchStdDevOptions,
            build=build,
        )
    ]
