"""D as an encoder (Liu et al., arXiv 2101.04775, section 3.2): real pictures are decoded from its maps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ganforge.core import GanforgeError
from ganforge.core.game import Duel, Effect, Game, Role
from ganforge.plugins.blocks.attaching import networks_of, sketch_critic
from ganforge.plugins.blocks.initial import initialise
from ganforge.plugins.papers.fastgan import ReconstructionOptions
from ganforge.plugins.papers.fastgan.networks import LAST, channels, up

DECODED = ("whole", "part", "small")
"""What a critic gives in `aux` to be decoded, beside the image it has `seen`."""


class Reconstruction(Effect):
    """L_recons = E ‖G(f) - T(x)‖ (equation 2), the sum over three decoders, on reals only.

    From D's last maps the whole image, shrunk; from a quarter of its maps of 16×16 that quarter; from its maps of the
    small image the whole one again. x is the image as D saw it, augmented; the quarter is drawn for each move. The
    norm is the mean absolute difference, and E the mean over the batch; the authors' code sums over it.
    """

    roles: frozenset[Role] = frozenset({"discriminator"})

    def __init__(self, options: ReconstructionOptions) -> None:
        super().__init__()
        self.weight, self.width = options.weight, options.width

    def attach(self, game: Game) -> None:
        (player,) = (player for player in game.players if player.role == "discriminator")
        for name in networks_of(game, "discriminator"):
            shapes = sketch_critic(game, name, "reconstruction").aux
            if not {*DECODED, "seen"} <= shapes.keys():
                raise GanforgeError(
                    f"regularizer 'reconstruction': architecture '{game.config.architecture.name}' gives no maps to "
                    "decode; set architecture=fastgan"
                )
            game.adopt(_of(name), Decoders(shapes, self.width), player.name)

    def penalty(self, duel: Duel) -> Tensor:
        quarter = duel.draw.scoped("reconstruction").key("quarter") % 4
        aux = duel.on_real.aux
        decoded: Mapping[str, Tensor] = duel.call(_of(duel.critic), cut(aux, "part", quarter))
        seen = cut({"whole": aux["seen"], "part": aux["seen"], "small": aux["seen"]}, "part", quarter)
        errors = [(image.float() - shrunk(seen[name], image.shape[-1])).abs().mean() for name, image in decoded.items()]
        return self.weight * torch.stack(errors).sum()


class Decoders(nn.Module):
    """Maps by name, as a critic gives them, to images [N, C, s, s] by name: s is half the side, 128 at most."""

    def __init__(self, shapes: Mapping[str, Tensor], width: int) -> None:
        super().__init__()
        _, outputs, side, _ = shapes["seen"].shape
        self.decoders = nn.ModuleDict(
            {name: decoder(shapes[name].shape[1], outputs, min(128, side // 2), width) for name in DECODED}
        )

    def forward(self, maps: Mapping[str, Tensor], labels: Tensor | None = None) -> dict[str, Tensor]:
        return {name: decode(maps[name]) for name, decode in self.decoders.items()}


def decoder(inputs: int, outputs: int, side: int, width: int) -> nn.Sequential:
    """[N, inputs, h, w] → 8×8 → doubled, … → convolution → tanh, [N, outputs, side, side]."""
    sides = [LAST << i for i in range(1, (side // LAST).bit_length())]
    widths = [inputs, *[channels(s, width) for s in sides]]
    blocks = [up(before, after) for before, after in itertools.pairwise(widths)]
    image = nn.Conv2d(widths[-1], outputs, 3, padding=1, bias=False)
    return nn.Sequential(nn.AdaptiveAvgPool2d(LAST), *blocks, image, nn.Tanh()).apply(initialise)


def cut(maps: Mapping[str, Tensor], name: str, quarter: int) -> dict[str, Tensor]:
    """The maps, of one of which [N, C, h, w] only a quarter is left: 0 and 1 above, 2 and 3 below."""
    height, width = (side // 2 for side in maps[name].shape[2:])
    top, left = quarter // 2 * height, quarter % 2 * width
    return {**maps, name: maps[name][:, :, top : top + height, left : left + width]}


def shrunk(images: Tensor, side: int) -> Tensor:
    """T: images at a smaller side, by averaging."""
    return adaptive_avg_pool2d(images, side)


def _of(critic: str) -> str:
    return f"{critic}-decoders"
