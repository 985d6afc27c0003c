"""BEGAN's networks (Berthelot, Schumm and Metz, arXiv 1703.10717, section 3.5 and figure 1).

3×3 convolutions, two at each size, ELU; a code that dense layers without activation lead to and from. The
generator has the decoder's architecture. The optional skip connections and vanishing residuals are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge.core import Built, GanforgeError
from ganforge.core.game import Generated, Networks
from ganforge.plugins.blocks.autoencoder import Autoencoder
from ganforge.plugins.papers.began import BeganOptions

DOUBLINGS = {16: 1, 28: 2, 32: 2, 64: 3, 128: 4, 256: 5}
"""From 8×8, or 7×7 for 28."""


def build(options: BeganOptions, built: Built) -> Networks:
    """Both networks for square images.

    Raises:
        GanforgeError: for points, and for other sizes.
    """
    if built.data.kind != "images":
        raise GanforgeError(f"architecture 'began' builds images, not {built.data}; try --set architecture=ebgan")
    channels, side, width = built.data.shape
    if side != width or side not in DOUBLINGS:
        raise GanforgeError(
            f"architecture 'began' cannot build {side}×{width}; it builds squares of side 16, 28, 32, 64, 128 or 256: "
            "choose one with --resolution"
        )
    n, code = options.width, options.code
    autoencoder = Autoencoder(encoder(side, channels, n, code), decoder(side, channels, n, code), torch.abs)
    return Networks(Generator(decoder(side, channels, n, built.latent.width)), autoencoder)


def encoder(side: int, channels: int, n: int, code: int) -> nn.Sequential:
    """Images → n channels, two convolutions, one of stride 2 to n more, … down to 8×8 → dense → [N, code]."""
    halvings = DOUBLINGS[side]
    layers = [nn.Conv2d(channels, n, 3, padding=1), nn.ELU(), *_pair(n)]
    for i in range(1, halvings + 1):
        layers += [nn.Conv2d(i * n, (i + 1) * n, 3, stride=2, padding=1), nn.ELU(), *_pair((i + 1) * n)]
    start = side // 2**halvings
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear((halvings + 1) * n * start**2, code))


def decoder(side: int, channels: int, n: int, code: int) -> nn.Sequential:
    """[N, code] → dense → n channels of 8×8, two convolutions, doubled (nearest), … → [N, channels, side, side]."""
    doublings = DOUBLINGS[side]
    start = side // 2**doublings
    layers: list[nn.Module] = [nn.Linear(code, n * start**2), nn.Unflatten(1, (n, start, start)), *_pair(n)]
    for _ in range(doublings):
        layers += [nn.Upsample(scale_factor=2), *_pair(n)]
    return nn.Sequential(*layers, nn.Conv2d(n, channels, 3, padding=1))


def _pair(width: int) -> list[nn.Module]:
    """Two convolutions that keep the size, each with its ELU."""
    return [layer for _ in range(2) for layer in (nn.Conv2d(width, width, 3, padding=1), nn.ELU())]


class Generator(nn.Module):
    """z [N, latent] to images [N, channels, side, side], by a decoder and tanh, which keeps them in [-1, 1].

    The paper has no tanh; without it, nothing but the discriminator would keep the images in their range.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Generated:
        return Generated(self.layers(z).tanh())
