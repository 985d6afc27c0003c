"""What games of image translation share: generators that take pictures, and moves whose inputs are real ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.core import Built, Data, GanforgeError
from ganforge.core.config import UNCONDITIONED
from ganforge.core.draw import Batch, Draw, hash64
from ganforge.core.game import AdversarialGame, Clock, Export, Generated, Objective, Parts, Player, Step
from ganforge.core.latents import Generator

SMALLEST = 16
"""Pixels below which the smallest patch discriminator has no logit left."""


class Translator(nn.Module):
    """A generator of pictures from pictures [N, C, H, W], both in [-1, 1], of the same size or `scale` times the sides.

    H and W must be multiples of `multiple`, and at least `least`.
    """

    def __init__(self, layers: nn.Module, multiple: int, least: int, scale: int = 1) -> None:
        super().__init__()
        self.layers, self.multiple, self.least, self.scale = layers, multiple, least, scale

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.layers(image))


def check_data(architecture: str, built: Built, multiple: int) -> None:
    """Refuse what an architecture of translators cannot be built for.

    Raises:
        GanforgeError: data of one domain, or pictures too small or of a side that cannot be halved enough.
    """
    data = built.data
    if not data.domains:
        raise GanforgeError(f"architecture '{architecture}' translates between two domains, and there are {data}")
    if min(data.shape[1:]) < SMALLEST or any(side % multiple for side in data.shape[1:]):
        raise GanforgeError(
            f"architecture '{architecture}' cannot build {data.shape[1]}×{data.shape[2]}; sides must be multiples of "
            f"{multiple}, from {SMALLEST}: choose one with --resolution"
        )


class TranslationStep(Step):
    """A move on real pictures of both domains: where other games have a latent, the first domain's are the input.

    `terms` are what a loss beside the adversarial one came to, for the logs.
    """

    def __init__(self, game: TranslationGame, player: Player, draw: Draw, clock: Clock) -> None:
        super().__init__(game, player, draw, clock)
        self._real = lambda: Batch(self.source(1), None)
        self.terms: dict[str, Tensor] = {}

    @cached_property
    def both(self) -> Tensor:
        """The move's pictures, [N, domains · C, H, W]."""
        return self.game.real(self.draw, self.clock).samples

    def source(self, domain: int) -> Tensor:
        """Those of one domain, [N, C, H, W]."""
        part: Tensor = self.game.data.domain(self.both, domain)
        return part.contiguous(memory_format=self.draw.stream.layout)

    @cached_property
    def latent(self) -> Tensor:
        return self.source(0)


class PictureGame(AdversarialGame):
    """The standard game with pictures in the place of latents. `given` makes of held-out samples what is translated."""

    sampled_at_once = 8

    def __init__(self, parts: Parts, scale: int = 1) -> None:
        """Play with a generator of pictures of `scale` times the sides.

        Raises:
            GanforgeError: another generator, or settings that make no sense without latents.
        """
        _check(parts, scale)
        self._load = parts.load
        super().__init__(parts)

    @property
    def averaged_generator(self) -> Generator:
        raise GanforgeError(
            f"recipe '{self.config.recipe.name}' translates pictures and makes none of latents; look at its "
            "translations with ganforge sample"
        )

    @cached_property
    def held_out(self) -> Data:
        return self._load("test")

    def inputs(self, seed: int, n: int, *, start: int = 0, truncation: float | None = None) -> np.ndarray:
        """Held-out samples, in an order that follows from the seed: float32 [n, *data.stacked].

        Raises:
            GanforgeError: a truncation, of which pictures know nothing.
        """
        if truncation is not None:
            raise GanforgeError("a translation has no latents to truncate; leave the truncation out")
        order = np.random.Generator(np.random.PCG64(hash64(seed, "held-out"))).permutation(len(self.held_out))
        pixels = self.held_out.fetch(order.take(np.arange(start, start + n), mode="wrap"))[0]
        return pixels.astype(np.float32) / 127.5 - 1

    def sample(
        self,
        latents: np.ndarray,
        labels: np.ndarray | None = None,
        network: str = "generator",
        *,
        truncation: float | None = None,
    ) -> np.ndarray:
        """Translations of what `inputs` gave, by one network: float32 [n, *data.shape]."""
        return self.translate(self.given(latents, network), network)

    def translate(self, pictures: np.ndarray, network: str = "generator") -> np.ndarray:
        """Pictures float32 [n, C, H, W] as the averaged network translates them."""
        return super().sample(pictures, None, network)

    def exports(self) -> dict[str, Export]:
        return {"generator": self.file_of("generator")}

    def file_of(self, network: str) -> Export:
        """The file of one translator."""
        translator = self.networks[network]
        assert isinstance(translator, Translator)
        return Export(network, multiple=translator.multiple, least=translator.least, scale=translator.scale)


class TranslationGame(PictureGame):
    """A game between two domains. `sources` are those that networks translate."""

    sources: Mapping[str, int] = {"generator": 0}

    def make_step(self, player: Player, draw: Draw, clock: Clock) -> TranslationStep:
        return TranslationStep(self, player, draw, clock)

    def objective(self, player: Player, draw: Draw, clock: Clock) -> Objective:
        objective = super().objective(player, draw, clock)
        assert isinstance(objective.step, TranslationStep)
        terms = {f"{self.config.recipe.name}/{name}": term.detach() for name, term in objective.step.terms.items()}
        return objective._replace(scalars=objective.scalars | terms)

    def given(self, inputs: np.ndarray, network: str = "generator") -> np.ndarray:
        """The pictures of the domain that a network translates: [n, domains · C, H, W] to [n, C, H, W]."""
        pictures: np.ndarray = self.data.domain(inputs, self.sources[network])
        return pictures

    def exports(self) -> dict[str, Export]:
        """One file for each direction, called `A-to-B` after the domains."""
        names = self.data.domains
        return {f"{names[i]}-to-{names[1 - i]}": self.file_of(network) for network, i in self.sources.items()}


def distance(one: Tensor, two: Tensor) -> Tensor:
    """L1: the mean absolute difference."""
    return torch.nn.functional.l1_loss(one, two)


def _check(parts: Parts, scale: int) -> None:
    name, generator = parts.config.recipe.name, parts.networks.generator
    if parts.config.generator.conditioning.name != UNCONDITIONED:
        raise GanforgeError(
            f"option 'generator.conditioning': recipe '{name}' translates pictures, whatever class they are of; set it "
            "to none"
        )
    if not isinstance(generator, Translator):
        raise GanforgeError(
            f"option 'architecture': recipe '{name}' translates pictures, and '{parts.config.architecture.name}' makes "
            "them of latents; choose one that translates"
        )
    if generator.scale != scale:
        raise GanforgeError(
            f"option 'architecture': recipe '{name}' makes pictures of {scale} times the side, and "
            f"'{parts.config.architecture.name}' of {generator.scale} times; leave its options to the recipe's"
        )
    if parts.config.fakes == "shared":
        raise GanforgeError(f"option 'fakes': recipe '{name}' has each player translate anew; set it to fresh")
