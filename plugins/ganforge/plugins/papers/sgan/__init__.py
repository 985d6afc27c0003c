"""Semi-supervised GAN: D is a classifier of K classes and of fakes, and learns from few labels and many samples.

Salimans et al. 2016 (arXiv 1606.03498, section 5) and Odena 2016 (arXiv 1606.01583). Conditioning `semi-supervised`
of any discriminator (classes.py), which brings the regularizer of that name along: the loss on the labelled few
(labelled.py). Recipe `sgan`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from ganforge.core import Built, Conditioning, DataSpec, Options, Recipe, Regularizer, hookimpl

PAPER = "1606.03498"


class LabelledOptions(Options):
    """How many labels there are, and how much they count."""

    labelled: int = Field(100, ge=1, description="samples whose labels are known, as many of each class; from the seed")
    weight: float = Field(1.0, ge=0, description="of the loss on labelled samples, in D's loss")


def classify(options: Options, built: Built, make: Callable[[Built], Any]) -> Any:
    from ganforge.plugins.papers.sgan import classes

    return classes.discriminator(built, make)


def build(options: LabelledOptions) -> Any:
    from ganforge.plugins.papers.sgan import labelled

    return labelled.LabelledLoss(options)


def settings(options: Options, data: DataSpec) -> dict[str, Any]:
    """Section 5 and the authors' code: Adam with β₁ 0.5, at 3e-3 as for MNIST where images are grey and at 3e-4 as for
    CIFAR-10 where they are not, batches of 100, z uniform of 100, dropout in D, feature matching as all of G's loss.

    The networks are DCGAN's; D has no batch norm, and neither the paper's weight normalisation nor its noise. The
    authors' code also draws z from [0, 1], halves the loss on unlabelled and generated samples, which the paper's
    equation does not, and classifies by averaged weights; for CIFAR-10 it has 400 labels of each class, dropout on the
    pictures too, and a rate that falls to 0 over the last third; for MNIST noise in the place of dropout.
    """
    adam = {"optimizer": "adam", "lr": 3e-3 if data.shape[0] == 1 else 3e-4, "betas": (0.5, 0.999)}
    return {
        "architecture": {"name": "dcgan", "discriminator_norm": "none"},
        "loss": "non-saturating",
        "regularizers": {"feature-matching": {}, "dropout": {"rate": 0.5, "networks": "discriminator"}},
        "latent": {"name": "uniform", "dim": 100},
        "generator": adam,
        "discriminator": {**adam, "conditioning": "semi-supervised"},
        "batch_size": 100,
        "steps": 20_000,
    }


@hookimpl
def ganforge_conditionings() -> list[Conditioning[Any]]:
    return [
        Conditioning(
            name="semi-supervised",
            summary="the discriminator is a classifier with one class more, of fakes; few samples need labels",
            paper=PAPER,
            discriminator=classify,
            pair=("none", "semi-supervised"),
            regularizers=("semi-supervised",),
        )
    ]


@hookimpl
def ganforge_regularizers() -> list[Regularizer[Any]]:
    return [
        Regularizer(
            name="semi-supervised",
            summary="the loss on the labelled few of the discriminator's conditioning of this name",
            paper=PAPER,
            options=LabelledOptions,
            build=build,
        )
    ]


@hookimpl
def ganforge_recipes() -> list[Recipe[Any]]:
    return [
        Recipe(
            name="sgan",
            summary="a classifier learns from few labels and many samples, real and fake",
            paper=PAPER,
            settings=settings,
            small={"architecture": {"width": 8}, "latent": {"dim": 8}, "batch_size": 8},
        )
    ]
