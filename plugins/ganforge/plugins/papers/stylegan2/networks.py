"""The networks of Karras et al. (arXiv 1912.04958, sections 2 to 4 and appendix B)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from ganforge.core import Built
from ganforge.core.game import Critique, Generated, Networks
from ganforge.plugins.blocks.equalised import ROOT2, EqualConv2d, Equalised, EqualLinear
from ganforge.plugins.blocks.growing import FIRST, SLOPE, critic_head, level_widths
from ganforge.plugins.blocks.resampling import Blur, Down, Up
from ganforge.plugins.blocks.styles import Noise, Styles
from ganforge.plugins.papers.stylegan2 import Stylegan2Options

TRIANGLE = (1.0, 3.0, 3.0, 1.0)


def build(options: Stylegan2Options, built: Built) -> Networks:
    """Both networks for square images; raises GanforgeError for any other data."""
    widths = level_widths("stylegan2", built.data, options.width, options.full)
    channels = built.data.shape[0]
    return Networks(Generator(channels, built.latent.width, widths, options), Discriminator(channels, widths))


class Activation(nn.Module):
    """√2 LeakyReLU, which keeps the variance: weights and biases alike have no gain of their own."""

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x, SLOPE) * ROOT2


class Modulated(Equalised, nn.Module):
    """A convolution whose weights a style scales, and then to unit variance: equations 1 and 3.

    [N, inputs, h, w] and w [N, style] → [N, outputs, h, w], or [N, outputs, 2h, 2w] smoothed with `up`. Scaling the
    inputs, and the outputs after it, is the same as scaling each sample's weights, and leaves one convolution for any
    number of samples; the authors' grouped one has their number in its shape.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style: int, *, up: bool = False, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.affine = EqualLinear(style, inputs, gain=1.0, start=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = (inputs * kernel**2) ** -0.5
        self.demodulate, self.padding = demodulate, kernel // 2
        self.blur = Blur(outputs, TRIANGLE, 1, gain=4.0) if up else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scales, weight = self.affine(w), self.weight * self.scale
        x = x * scales[:, :, None, None]
        if self.blur is None:
            x = conv2d(x, weight, padding=self.padding)
        else:
            x = self.blur(conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        if self.demodulate:
            squares = scales.square() @ weight.square().sum(dim=(2, 3)).T
            x = x * torch.rsqrt(squares + 1e-8)[:, :, None, None]
        return x


class Layer(nn.Module):
    """Modulated convolution → noise → bias → activation (figure 2d)."""

    def __init__(self, inputs: int, outputs: int, side: int, style: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv, self.noise = Modulated(inputs, outputs, 3, style, up=up), Noise(side, 1)
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.activation = Activation()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        out: Tensor = self.activation(self.noise(self.conv(x, w)) + self.bias)
        return out


class ToImages(nn.Module):
    """Maps [N, inputs, h, w] → images [N, channels, h, w]: modulated 1×1, not demodulated, and a bias."""

    def __init__(self, inputs: int, channels: int, style: int) -> None:
        super().__init__()
        self.conv = Modulated(inputs, channels, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        out: Tensor = self.conv(x, w) + self.bias
        return out


class Generator(nn.Module):
    """z → styles; a learned 4×4 constant → layers; the images of all sizes, enlarged, add up (figure 7b).

    A sampled image is cut off at [-1, 1]. `style` are the styles [N, layers, numbers of w]: one for each layer, and
    the last also for the last image; another size's image has the style of the next layer.
    """

    truncates = True

    def __init__(self, channels: int, latent: int, widths: list[int], options: Stylegan2Options) -> None:
        super().__init__()
        style, count = options.style, 2 * len(widths)
        self.styles = Styles(latent, style, options.depth, count, options.mixing, options.cutoff, Activation())
        self.constant = nn.Parameter(torch.randn(1, widths[0], FIRST, FIRST))
        self.layers = nn.ModuleList([Layer(widths[0], widths[0], FIRST, style)])
        for level, (before, after) in enumerate(pairwise(widths), start=1):
            side = FIRST * 2**level
            self.layers.append(Layer(before, after, side, style, up=True))
            self.layers.append(Layer(after, after, side, style))
        self.to_images = nn.ModuleList(ToImages(width, channels, style) for width in widths)
        self.up = Up(channels)

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: Tensor | None = None) -> Generated:
        """`truncation` is ψ [N, 1] for samples."""
        styles = self.styles(z, self.styles.layers, truncation)
        return Generated(self.synthesis(styles), styles)

    def synthesis(self, styles: Tensor) -> Tensor:
        """Images of styles [N, layers, numbers of w]."""
        constant = self.constant.expand(styles.shape[0], -1, -1, -1)  # len() would fix a graph's batch
        maps = self.layers[0](constant, styles[:, 0])
        images = self.to_images[0](maps, styles[:, 1])
        for level, to_images in enumerate(self.to_images[1:], start=1):
            place = 2 * level
            maps = self.layers[place](self.layers[place - 1](maps, styles[:, place - 1]), styles[:, place])
            images = self.up(images) + to_images(maps, styles[:, place + 1])
        return images if self.training else images.clamp(-1, 1)


class Discriminator(nn.Module):
    """Images → 1×1 → residual blocks that halve the map → as ProGAN's at 4×4 → logits [N] (figure 7c)."""

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            EqualConv2d(channels, widths[-1], 1, gain=1.0),
            Activation(),
            *(Block(above, below) for above, below in pairwise(widths[::-1])),
        )
        self.head = critic_head(widths[0], widths[0], Activation, gain=1.0)
        self.output = EqualLinear(widths[0], 1, gain=1.0)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        features = self.head(self.blocks(x))
        return Critique(self.output(features).flatten(), features)


class Block(nn.Module):
    """(3×3, smoothed, halving 3×3 + 1×1 of the halved map) / √2: [N, above, h, w] → [N, below, h/2, w/2]."""

    def __init__(self, above: int, below: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            EqualConv2d(above, above, gain=1.0),
            Activation(),
            Blur(above, TRIANGLE, 2),
            EqualConv2d(above, below, gain=1.0, stride=2),
            Activation(),
        )
        self.shortcut = nn.Sequential(Down(above), EqualConv2d(above, below, 1, gain=1.0, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.layers(x) + self.shortcut(x)) / ROOT2
        return out
