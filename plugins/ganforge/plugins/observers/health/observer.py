"""Measures a game as it stands, in a step that is never taken."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ganforge.core import Data, GanforgeError, RunInfo, RunObserver, distributed
from ganforge.core.config import images_per_round
from ganforge.core.draw import Draw, Stream, hash64
from ganforge.core.game import AdversarialGame, Batch, Clock, Game, Step
from ganforge.plugins.observers.health import HealthOptions, figures
from ganforge.plugins.observers.pace import due

log = logging.getLogger("ganforge")


class Health(RunObserver):
    """Looks at the critic as it is in training, and at the averaged generator as it will be shipped."""

    held_out: Stream | None

    def __init__(self, options: HealthOptions) -> None:
        self.options = options

    def run_started(self, info: RunInfo) -> None:
        self.info, self.seen = info, info.start
        # Whole batches, seen one by one as in training: critics may look at several samples at once.
        self.piece = info.config.batch_size // info.config.accumulate
        wanted = self.options.images if info.data.kind == "images" else self.options.points
        self.n = self.piece * max(1, wanted // self.piece)
        self.training, self.held_out = self._stream(info.load("train")), None
        try:
            self.held_out = self._stream(info.load("test"))
        except GanforgeError as error:
            log.warning("no held-out data, so nothing shows whether the discriminator overfits: %s", error)

    def measure(self, game: Game, round_: int) -> Mapping[str, float]:
        before, self.seen = self.seen, round_
        if not due(round_, before, self.options.every, self.info.config.steps):
            return {}
        if not isinstance(game, AdversarialGame) or game.translates or distributed.world() > 1:
            return {}  # a translation has no latents, and several domains no one critic
        if all(player.role != "discriminator" for player in game.players):
            return {}
        with torch.no_grad(), torch.random.fork_rng():
            found = self._figures(game, round_)
        return {name: float(value) for name, value in found.items()}

    def _figures(self, game: AdversarialGame, round_: int) -> dict[str, Tensor]:
        step = self._step(game, round_)
        training = self._batch(step, self.training)
        held_out = None if self.held_out is None else self._batch(step, self.held_out)
        opinions = {
            "real": self._opinion(step, training),
            "fake": self._opinion(step, Batch(step.fake, step.labels), name="fake"),
            **({} if held_out is None else {"held_out": self._opinion(step, held_out)}),
        }
        even = game.reading.even if game.reading else None
        latents, labels = self._latents(game)
        samples = torch.from_numpy(game.sample(latents, labels)).to(game.device)
        classes = None if labels is None else torch.from_numpy(labels).to(game.device)
        return {
            **figures.of_critic(opinions, even),
            **figures.of_samples(samples, training.samples, images=game.data.kind == "images"),
            **({} if classes is None else figures.within_class(Batch(samples, classes), training)),
            **figures.of_weights(game.networks["generator"]),
        }

    def _step(self, game: AdversarialGame, round_: int) -> Step:
        """A move of the discriminator on copies of the buffers: batch norm's averages stay as they are."""
        player = next(player for player in game.players if player.role == "discriminator")
        seed = self.info.config.seed
        draw = Draw(seed, round_, "health", 0, self.n, game.device, self.training, 0)
        torch.manual_seed(hash64(draw.key("layers")))
        clock = Clock(round_, self.info.config.steps, round_ * images_per_round(game.config))
        step = game.make_step(player, draw, clock)
        for name, network in game.networks.items():
            buffers = {key: buffer.clone() for key, buffer in network.named_buffers()}
            step.weights[name] = {**dict(network.named_parameters()), **buffers}
        return step

    def _opinion(self, step: Step, batch: Batch, name: str = "health") -> Tensor:
        """What the critic says, float32 [n] of samples or [n / k] of packs of k, as its loss wants it read.

        `name` is "fake" of the step's own: critics that see what a sample was made of look for that then.
        """
        labels = [None] * self.n if batch.labels is None else batch.labels.split(self.piece)
        said, whole, latents = [], step.draw, step.latent
        pieces = zip(batch.samples.split(self.piece), labels, latents.split(self.piece), strict=False)
        for place, (samples, label, latent) in enumerate(pieces):
            # What views draw is for a batch, and another for each.
            step.draw = replace(whole, n=self.piece, piece=place, pieces=self.n // self.piece)
            step.latent = latent
            said.append(step.critique(samples, label, name=name).logits)
        step.draw, step.latent = whole, latents
        read = step.game.loss.read(torch.cat(said)).float()
        return read.reshape(len(read), -1).mean(dim=1)

    def _batch(self, step: Step, stream: Stream) -> Batch:
        """The same samples every time, in whole batches, changed as the game changes what is real."""
        size = len(stream.data)
        order = np.random.default_rng(hash64(self.info.config.seed, "health")).permutation(size)
        whole = min(self.n, max(self.piece, size - size % self.piece))
        rows = np.resize(order, whole)  # a set smaller than a batch is seen more than once
        batch = stream.batch(step.draw, rows)
        for effect in step.game.each_effect():
            batch = effect.real(batch, step.clock)
        return batch

    def _latents(self, game: Game) -> tuple[np.ndarray, np.ndarray | None]:
        labels = game.data.labels(self.n) if game.labelled else None
        return game.latent.sample(self.info.config.seed, self.n), labels

    def _stream(self, data: Data) -> Stream:
        return Stream(data, self.info.config.seed, channels_last=self.info.config.machine.channels_last)
