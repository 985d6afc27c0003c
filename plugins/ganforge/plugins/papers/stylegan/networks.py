"""The networks of Karras et al. (arXiv 1812.04948, figure 1b and appendix C)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganforge.core import Built
from ganforge.core.game import Generated, Networks
from ganforge.plugins.blocks.equalised import EqualConv2d, EqualLinear
from ganforge.plugins.blocks.growing import FIRST, SLOPE, GrowingCritic, Stage, level_widths
from ganforge.plugins.blocks.resampling import Blur
from ganforge.plugins.blocks.styles import Noise, Styles
from ganforge.plugins.papers.stylegan import StyleganOptions

BINOMIAL = (1.0, 2.0, 1.0)


def build(options: StyleganOptions, built: Built) -> Networks:
    """Both networks for square images; raises GanforgeError for any other data."""
    widths = level_widths("stylegan", built.data, options.width, options.full)
    channels = built.data.shape[0]
    return Networks(Generator(channels, built.latent.width, widths, options), GrowingCritic(channels, widths, down))


class Generator(nn.Module):
    """z → styles; a learned 4×4 constant → layers that each get noise and a style → images [N, channels, side, side].

    A sampled image is cut off at [-1, 1]. `style` are the styles [N, layers, numbers of w].
    """

    truncates = True

    def __init__(self, channels: int, latent: int, widths: list[int], options: StyleganOptions) -> None:
        super().__init__()
        self.stage = Stage(len(widths) - 1)
        self.styles = Styles(
            latent, options.style, options.depth, 2 * len(widths), options.mixing, options.cutoff, nn.LeakyReLU(SLOPE)
        )
        self.constant = nn.Parameter(torch.randn(1, widths[0], FIRST, FIRST))
        self.layers = nn.ModuleList([Layer(nn.Identity(), widths[0], FIRST, options.style)])
        self.layers.append(Layer(convolution(widths[0], widths[0]), widths[0], FIRST, options.style))
        for level, (before, after) in enumerate(pairwise(widths), start=1):
            side = FIRST * 2**level
            self.layers.append(Layer(doubled(before, after), after, side, options.style))
            self.layers.append(Layer(convolution(after, after), after, side, options.style))
        self.to_images = nn.ModuleList(EqualConv2d(width, channels, 1, gain=1.0) for width in widths)

    def configure(self, place: float) -> None:
        self.stage.set(place)

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: Tensor | None = None) -> Generated:
        """`truncation` is ψ [N, 1] for samples."""
        styles = self.styles(z, 2 * (self.stage.top + 1), truncation)
        return Generated(self.synthesis(styles), styles)

    def synthesis(self, styles: Tensor) -> Tensor:
        """Images of styles [N, layers, numbers of w]."""
        before = maps = self.constant.expand(styles.shape[0], -1, -1, -1)  # len() would fix a graph's batch
        last = 2 * self.stage.top
        for place, layer in enumerate(self.layers[: last + 2]):
            if place == last:
                before = maps
            maps = layer(maps, styles[:, place])
        images = self.stage.images(self.to_images, before, maps)
        return images if self.training else images.clamp(-1, 1)


class Layer(nn.Module):
    """convolution → noise → bias → LeakyReLU → AdaIN: (1 + a) × (x - μ) / σ + b, with (a, b) linear in w (equation 1).

    [N, inputs, h, w] → [N, width, side, side], and w [N, style].
    """

    def __init__(self, conv: nn.Module, width: int, side: int, style: int) -> None:
        super().__init__()
        self.conv, self.noise = conv, Noise(side, width)
        self.bias = nn.Parameter(torch.zeros(width, 1, 1))
        self.affine = EqualLinear(style, 2 * width, gain=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = leaky_relu(self.noise(self.conv(x)) + self.bias, SLOPE)
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * normalised(x) + shift


def normalised(x: Tensor) -> Tensor:
    """Instance norm: (x - μ) / σ over the places of each map."""
    centred = x.float() - x.float().mean(dim=(2, 3), keepdim=True)
    return (centred * torch.rsqrt(centred.square().mean(dim=(2, 3), keepdim=True) + 1e-8)).to(x.dtype)


def convolution(before: int, after: int) -> nn.Module:
    """The bias comes after the noise."""
    return EqualConv2d(before, after, bias=False)


def doubled(before: int, after: int) -> nn.Module:
    """[N, before, h, w] → [N, after, 2h, 2w], then smoothed."""
    return nn.Sequential(nn.Upsample(scale_factor=2.0), convolution(before, after), Blur(after, BINOMIAL, 1))


def down(above: int, below: int) -> nn.Module:
    """The discriminator's block: [N, above, h, w] → [N, below, h/2, w/2], smoothed before it shrinks."""
    return nn.Sequential(
        EqualConv2d(above, above),
        nn.LeakyReLU(SLOPE),
        Blur(above, BINOMIAL, 1),
        EqualConv2d(above, below),
        nn.AvgPool2d(2),
        nn.LeakyReLU(SLOPE),
    )
