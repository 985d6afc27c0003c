"""A discriminator that is an autoencoder: its opinion of a sample is the error of the reconstruction."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ganforge.core.game import Critique


class Autoencoder(nn.Module):
    """Samples [N, ...] to energies [N], low where the sample is reconstructed well.

    An energy is the mean of `distance`, value by value, between a sample and its reconstruction, which is in
    `aux["reconstruction"]`; the features are the code. Labels that come as further channels are reconstructed too.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, distance: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.encoder, self.decoder, self.distance = encoder, decoder, distance

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        code = self.encoder(x)
        reconstruction = self.decoder(code).float()
        energies = self.distance(reconstruction - x).flatten(1).mean(dim=1)
        return Critique(energies, code, {"reconstruction": reconstruction})
