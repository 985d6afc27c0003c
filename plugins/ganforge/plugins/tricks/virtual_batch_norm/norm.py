"""Virtual batch normalisation (Salimans et al., arXiv 1606.03498, section 3.5, and the authors' code)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganforge.core import GanforgeError
from ganforge.core.draw import hash64
from ganforge.core.game import Effect, Game
from ganforge.plugins.blocks import surgery
from ganforge.plugins.tricks.virtual_batch_norm import VirtualBatchNormOptions


class VirtualBatchNorm(nn.Module):
    """In the place of a batch norm, with its scale and shift: x [N, C] or [N, C, h, w] to the same.

    The first call of a forward pass gets the reference batch of n samples, normalises it by its own statistics and
    keeps them. Every other sample is normalised by those and by its own, weighed n/(n+1) and 1/(n+1).
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, norm: _BatchNorm, n: int) -> None:
        super().__init__()
        self.register_parameter("weight", norm.weight)
        self.register_parameter("bias", norm.bias)
        self.eps, self.own = norm.eps, 1 / (n + 1)
        self.reference: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        values = x.float() if x.dim() > 2 else x.float()[..., None]
        places = tuple(range(2, values.dim()))
        if self.reference is None:
            variance, mean = torch.var_mean(values, dim=(0, *places), correction=0, keepdim=True)
            self.reference = mean, variance
        else:
            mean, variance = self.mixed(values, places)
        values = (values - mean) * (variance + self.eps).rsqrt()
        if self.weight is not None and self.bias is not None:
            weight, bias = (table.unflatten(0, (-1, *[1] * len(places))) for table in (self.weight, self.bias))
            values = values * weight + bias
        return values.reshape(x.shape).to(x.dtype)

    def mixed(self, values: Tensor, places: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Mean and variance of the reference's values and each sample's own, taken together.

        The authors' code mixes E[x] and E[x²]; this is the same, and cannot come out below zero.
        """
        assert self.reference is not None
        mean, variance = self.reference
        own_variance, own_mean = torch.var_mean(values, dim=places, correction=0, keepdim=True)
        apart = self.own * (1 - self.own) * (own_mean - mean).square()
        return torch.lerp(mean, own_mean, self.own), torch.lerp(variance, own_variance, self.own) + apart


class VirtualBatchNormalisation(Effect):
    """The regularizer: every batch norm of the generator becomes a virtual one.

    The reference batch is `reference` latents, a pure function of the run's seed, with every class in turn: buffers
    of the generator, so that they are in its checkpoint, its average and its file. Each forward pass of the generator
    goes through them first, with the weights of that moment; so the average is normalised by statistics of its own
    weights and nothing has to be estimated. The statistics live no longer than the pass. In an exported file they
    depend on constants only: onnxruntime computes them once, when it opens the file.

    The discriminator keeps its batch norm: the paper uses this one in the generator only, for its cost.
    """

    attach_order = surgery.REPLACES

    def __init__(self, options: VirtualBatchNormOptions) -> None:
        super().__init__()
        self.n = options.reference

    def attach(self, game: Game) -> None:
        if game.translates:
            raise GanforgeError("regularizer 'virtual-batch-norm': its reference batch is of latents, not of pictures")
        generator = game.networks["generator"] if "generator" in game.networks else nn.Identity()
        norms = [name for name, module in generator.named_modules() if isinstance(module, _BatchNorm)]
        if not norms:
            raise GanforgeError(
                f"regularizer 'virtual-batch-norm': the generator of architecture '{game.config.architecture.name}' "
                "has no batch norm to replace"
            )
        for name in norms:
            parent, _, child = name.rpartition(".")
            norm = generator.get_submodule(name)
            assert isinstance(norm, _BatchNorm)
            setattr(generator.get_submodule(parent), child, VirtualBatchNorm(norm, self.n))
        latents = game.latent.sample(hash64(game.config.seed, "virtual-batch-norm"), self.n)
        labels = torch.from_numpy(game.data.labels(self.n)) if game.data.classes else None
        generator.register_buffer("reference_latents", torch.from_numpy(latents))
        generator.register_buffer("reference_labels", labels)
        generator.register_forward_pre_hook(_see_the_reference)
        generator.register_forward_hook(_forget_the_reference, always_call=True)


def _see_the_reference(generator: nn.Module, args: Any) -> None:
    _forget_the_reference(generator)
    generator.forward(generator.reference_latents, generator.reference_labels)


def _forget_the_reference(generator: nn.Module, *args: Any) -> None:
    for module in generator.modules():
        if isinstance(module, VirtualBatchNorm):
            module.reference = None
