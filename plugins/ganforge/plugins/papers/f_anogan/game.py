"""The game of f-AnoGAN (Schlegl et al. 2019): G against D, then an encoder for both as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.draw import Draw
from ganforge.core.game import Clock, Objective, Parts, Player, Step
from ganforge.core.options import parse
from ganforge.plugins.blocks.inversion import Encoder, InvertingGame, squared
from ganforge.plugins.papers.f_anogan import FAnoganOptions

FROZEN = ("generator", "discriminator")


class FAnoganGame(InvertingGame):
    """Up to the border, the standard game; beyond it, the player `encoder` alone, with G and D in eval mode."""

    def __init__(self, parts: Parts) -> None:
        if parts.data.kind != "images":
            raise GanforgeError(f"recipe 'f-anogan' finds anomalous images, not {parts.data}")
        self.options = parse(FAnoganOptions, parts.config.recipe.values, "recipe")
        super().__init__(parts)

    def make_players(self) -> list[Player]:
        self.networks["encoder"] = Encoder(self.data, self.latent.width, self.options.width)
        return [*super().make_players(), Player("encoder", "generator", ["encoder"], self.options.encoder)]

    def inverts(self, clock: Clock) -> bool:
        """Whether this is a round of the encoder's."""
        return clock.round >= round(self.options.adversarial * clock.rounds)

    def moving(self, clock: Clock) -> list[Player]:
        return [player for player in self.players if (player.name == "encoder") == self.inverts(clock)]

    def before_round(self, clock: Clock) -> None:
        super().before_round(clock)
        for name in FROZEN:
            self.networks[name].train(not self.inverts(clock))

    def objective(self, player: Player, draw: Draw, clock: Clock) -> Objective:
        if player.name != "encoder":
            return super().objective(player, draw, clock)
        step = self.make_step(player, draw, clock)
        x, labels = step.real.detach(), step.real_labels
        reconstructed = step.call("generator", step.call("encoder", x), labels).images.float()
        with torch.no_grad():
            features = _features(step, x, labels)
        on_pixels, on_features = squared(x, reconstructed), squared(features, _features(step, reconstructed, labels))
        loss = (on_pixels + self.options.kappa * on_features).mean()
        scalars = {"loss/encoder": loss, "encoder/pixels": on_pixels.mean(), "encoder/features": on_features.mean()}
        return Objective(loss, step, {name: figure.detach() for name, figure in scalars.items()})

    @torch.no_grad()
    def anomaly_scores(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """A(x) = A_R(x) + κ A_D(x), float32 [N]: the encoder's loss of each picture; 0 is normal."""
        critic = self.networks["discriminator"].eval()
        reconstructed = self.reconstruct(x, labels).float()
        features = squared(critic(x, labels).features, critic(reconstructed, labels).features)
        return squared(x, reconstructed) + self.options.kappa * features


def _features(step: Step, x: Tensor, labels: Tensor | None) -> Tensor:
    features: Tensor | None = step.call("discriminator", x, labels).features
    if features is None:
        raise GanforgeError("recipe 'f-anogan' needs a discriminator that offers features; set architecture=dcgan")
    return features
