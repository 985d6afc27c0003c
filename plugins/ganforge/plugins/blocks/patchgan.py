"""The discriminator of image translation: it judges patches (Isola et al. 2016, arXiv 1611.07004, section 3.2.2)."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge.core.game import Critique
from ganforge.plugins.blocks.initial import initialise


def halvings(side: int) -> int:
    """How often maps are halved: 3, patches of 70×70, from a side of 64; 2 and 1, of 34 and 16, below 64 and 32."""
    return 3 if side >= 64 else 2 if side >= 32 else 1


class PatchDiscriminator(nn.Module):
    """Images [N, C, H, W] to one logit for each of k overlapping patches, [N, k].

    C64-C128-C256-C512 of the paper's appendix: convolutions 4×4, LeakyReLU 0.2, instance norm but in the first; all of
    stride 2 but the last and the one that gives the logits.
    """

    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        count = halvings(side)
        for i in range(1, count + 1):
            before, after = width * 2 ** (i - 1), width * 2**i
            layers += [nn.Conv2d(before, after, 4, 2 if i < count else 1, 1), nn.InstanceNorm2d(after)]
            layers += [nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.logits = nn.Conv2d(width * 2**count, 1, 4, 1, 1)
        self.apply(initialise)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.features(x)
        return Critique(self.logits(features).flatten(1), features)
