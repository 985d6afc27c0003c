"""What a plugin offers: frozen, typed specs. A hook returns a list of these; `build` is where torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ganforge.core.data import Data, DataRequest, DataSpec
from ganforge.core.latents import Latent
from ganforge.core.options import Options
from ganforge.core.words import Role

if TYPE_CHECKING:
    from torch import nn

    from ganforge.core.config import Config
    from ganforge.core.evaluation import Case, Extractor, Scorer
    from ganforge.core.game import Effect, Game, LossModule, Networks, Parts
    from ganforge.core.observers import RunObserver

O_contra = TypeVar("O_contra", bound=Options, contravariant=True)


@dataclass(frozen=True, kw_only=True)
class Spec(Generic[O_contra]):
    """Common to all: a unique name, one line for lists, the paper (an arXiv id or a citation), the options."""

    name: str
    summary: str
    options: type[Any] = Options
    paper: str = ""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What an architecture builds its networks for.

    `labelled` are the networks that must take labels by the architecture's own means (conditioning `own`).
    """

    data: DataSpec
    latent: Latent
    labelled: frozenset[Role] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Architecture(Spec[O_contra]):
    """Builds a generator ([N, latent.width] to `Generated`) and a discriminator ([N, *shape] to `Critique`).

    `build` raises GanforgeError for a data spec it cannot serve, saying which it can. `own_conditioning` are the
    networks it can give labels to by itself, when `Built.labelled` asks for it.
    """

    build: Callable[[O_contra, Built], Networks]
    own_conditioning: frozenset[Role] = frozenset()


Wrap = Callable[[Any, Built, Callable[[Built], "nn.Module"]], "nn.Module"]
"""(options, what to build for, the architecture's build of one network) to that network, taking labels."""


@dataclass(frozen=True, kw_only=True)
class Conditioning(Spec[O_contra]):
    """How labels enter a network of any architecture: `generator` and `discriminator` make it so, where they are
    given.

    A network takes labels int64 [N] as its second argument. `pair` are the conditionings of generator and
    discriminator that `--conditioning NAME` stands for, `regularizers` what the discriminator's brings along.
    """

    generator: Wrap | None = None
    discriminator: Wrap | None = None
    pair: tuple[str, str]
    regularizers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How a loss's critic outputs read to a person, after the loss module's `read`.

    `even` is what a critic that cannot tell says (0.5 for a probability, None where no such level exists);
    `healthy` is the band in which D(real) and D(fake) usually stay; `zero_is_failure` says that a
    discriminator loss at zero means it has won and the generator no longer learns.
    """

    label: str
    even: float | None = None
    healthy: tuple[float, float] | None = None
    zero_is_failure: bool = False


@dataclass(frozen=True, kw_only=True)
class Loss(Spec[O_contra]):
    """From critic outputs to one scalar per player."""

    build: Callable[[O_contra], LossModule]
    reading: Reading


@dataclass(frozen=True, kw_only=True)
class Regularizer(Spec[O_contra]):
    """Anything that constrains a game without being its loss."""

    build: Callable[[O_contra], Effect]


@dataclass(frozen=True, kw_only=True)
class Recipe(Spec[O_contra]):
    """A complete, runnable GAN. `settings` gives the paper's numbers for a data spec as a nested mapping of the
    config's keys (`ganforge.core.config`); `game` builds something other than generator against discriminator.
    `small` are settings under which a round takes milliseconds, for `ganforge plugins check`. `takes` is the data it
    plays on: single samples, or pictures of two domains, which `pairs` must belong together. `follows` is a recipe of
    which a run must be there, that is named in the option `of`; a check trains one first.
    """

    settings: Callable[[O_contra, DataSpec], Mapping[str, Any]]
    takes: Literal["samples", "domains", "pairs"] = "samples"
    game: Callable[[Config, Parts], Game] | None = None
    small: Mapping[str, Any] = field(default_factory=dict)
    follows: str = ""


@dataclass(frozen=True, kw_only=True)
class Dataset(Spec[O_contra]):
    """Loads one split. `kind` and `classes` are for lists; the loaded data's own spec is what counts."""

    load: Callable[[O_contra, DataRequest], Data]
    kind: Literal["images", "points"] = "images"
    downloads: bool = False


@dataclass(frozen=True, kw_only=True)
class Observer(Spec[O_contra]):
    """Watches a run: reports, animations, alarms. It never changes the game."""

    build: Callable[[O_contra], RunObserver]


@dataclass(frozen=True, kw_only=True)
class FeatureExtractor(Spec[O_contra]):
    """Turns images into features (and logits) of a fixed network, for metrics.

    `build` gets the training split. It raises GanforgeError for images it cannot take and for weights that are missing
    or wrong. An option that changes no feature (where weights lie) is a field with `exclude=True`: no score tells it.
    `requires` are the modules it imports beyond those of a training. Where nobody chose, the one of the highest `rank`
    whose modules are installed is taken, and none of rank 0.
    """

    build: Callable[[O_contra, Data], Extractor]
    requires: tuple[str, ...] = ()
    rank: int = 0


Need = Literal["features", "logits", "images", "points", "labels", "extractor", "generator"]
"""What a metric looks at. Everything but points is of images. `extractor` is of those that call it themselves."""


@dataclass(frozen=True, kw_only=True)
class Metric(Spec[O_contra]):
    """Scores generated samples against real ones.

    `build` makes a new scorer for each side that is judged. `least` is the fewest samples of a side it can judge,
    `requires` the modules it imports beyond those of a training. `floor` says that real samples in the generator's
    place score as a perfect generator's would. `best` are the figures by which generators are ranked, the usual one
    first, and which value is best; a figure `coverage_k5` stands there as `coverage`. `usual` is from how many samples
    on it is taken where nobody names metrics: those that want more come first, and those without it never.
    """

    build: Callable[[O_contra, Case], Scorer]
    needs: frozenset[Need]
    least: int = 1
    floor: bool = True
    requires: tuple[str, ...] = ()
    best: Mapping[str, Literal["lowest", "highest"]] = field(default_factory=dict)
    usual: int | None = None
