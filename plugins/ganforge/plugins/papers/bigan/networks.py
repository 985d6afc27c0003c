"""The joint discriminator of BiGAN and ALI (arXiv 1605.09782, section 3; 1606.00704, figure 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.game import Critique


class JointCritic(nn.Module):
    """D(x, z): pairs of samples [N, *shape] and latents [N, latent] to logits [N].

    The logit is that of `critic`, which sees x alone, plus that of a hidden layer over [features of x, z].
    """

    def __init__(self, critic: nn.Module, data: DataSpec, latent: int, width: int) -> None:
        super().__init__()
        self.critic = critic
        self.joint = nn.Sequential(
            nn.Linear(_features(critic, data) + latent, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor, labels: Tensor | None, z: Tensor) -> Critique:
        critique: Critique = self.critic(x, labels)
        assert critique.features is not None
        pair = torch.cat([critique.features.flatten(1), z], dim=1)
        return critique._replace(logits=critique.logits + self.joint(pair).flatten())


@torch.no_grad()
def _features(critic: nn.Module, data: DataSpec) -> int:
    """How many features a critic has of a sample.

    Raises:
        GanforgeError: it offers none.
    """
    labels = torch.zeros(2, dtype=torch.int64) if data.classes else None
    critique: Critique = critic.eval()(torch.zeros(2, *data.shape), labels)
    critic.train()
    if critique.features is None:
        raise GanforgeError(
            "recipe 'bigan' needs a discriminator that offers features, which this architecture's does not; "
            "try --set architecture=dcgan or mlp"
        )
    return critique.features.flatten(1).shape[1]
