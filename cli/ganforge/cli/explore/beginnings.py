"""Where the search for a picture's latent begins: what is known first, then samples.

Known are, of z, what the run's own encoder says (where it has one), and, of w, its running mean, as in StyleGAN2's
projector (Karras et al., arXiv 1912.04958, appendix D). Left out of that projector: noise on w, LPIPS, its schedule of
the learning rate, and the generator's noise maps, which stay as they are in samples and so need no regularisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganforge.cli.explore.inversion import within
from ganforge.cli.explore.styles import Styled
from ganforge.core.game import Game
from ganforge.core.latents import Latent


class Beginnings(NamedTuple):
    """Latents float32 [restarts, width], their class numbers [restarts] if they have any, and how many are `known`;
    `network` makes images of [restarts, width], differentiable."""

    network: Callable[[Tensor], Tensor]
    latent: Latent
    begin: np.ndarray
    labels: np.ndarray | None
    known: int


def in_z(game: Game, picture: Tensor, restarts: int, seed: int, label: str | None) -> Beginnings:
    """For a picture [C, H, W] in [-1, 1]. Labels are every class in turn, unless `label` names one; what the encoder
    says has none, so it begins once in each class."""
    begin, labels = game.averaged_generator.draw(seed, restarts)
    known = 0
    if "encoder" in game.ema:
        known = 1 if labels is None or label is not None else min(restarts, len(game.data.classes))
        with torch.no_grad():
            begin[:known] = within(game.latent, game.ema["encoder"](picture[None]).float()).cpu().numpy()
    if labels is not None and label is not None:
        labels = game.data.labels(restarts, label)
    y = None if labels is None else torch.from_numpy(labels).to(game.device)
    network = game.ema["generator"]
    return Beginnings(lambda z: network(z, y).images.float(), game.latent, begin, labels, known)


def in_w(game: Game, restarts: int, seed: int) -> Beginnings:
    """The same for w, which has no label beside it.

    Raises:
        GanforgeError: the generator has no styles.
    """
    styled = Styled(game)
    generator = styled.generator
    begin, _ = generator.draw(seed, restarts)
    begin[0] = styled.mean[0].cpu().numpy()
    return Beginnings(styled.images, generator.latent, begin, None, 1)
