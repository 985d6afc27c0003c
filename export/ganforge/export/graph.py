"""From a network to a clean ONNX graph whose every input is [N, k]."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import onnx
import torch
from google.protobuf.message import Message
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganforge.core.card import Card
from ganforge.core.errors import GanforgeError
from ganforge.core.game import truncates
from ganforge.export.form import farthest
from ganforge.export.seeds import FromSeeds

OPSET = 20


class Frozen(nn.Module):
    """A bare generator: latents [N, width] and label int64 [N, 1] to samples, in float32 whatever it computes in.

    One that translates pictures takes them [N, C, H, W] in the place of latents. One that is `styled`
    takes its truncation too, [N, 1].
    """

    def __init__(self, generator: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.generator, self.dtype = generator, dtype

    @property
    def styled(self) -> bool:
        return truncates(self.generator)

    def forward(self, latents: Tensor, label: Tensor | None = None, truncation: Tensor | None = None) -> Tensor:
        style = {} if truncation is None else {"truncation": truncation.to(self.dtype)}
        labels = None if label is None else label.squeeze(1)
        images: Tensor = self.generator(latents.to(self.dtype), labels, **style).images
        return images.float()


class OfLatents(nn.Module):
    """The file that is given z [N, dim] and codes [N, k]."""

    def __init__(self, frozen: Frozen, finish: nn.Module) -> None:
        super().__init__()
        self.frozen, self.finish = frozen, finish

    def forward(
        self,
        z: Tensor,
        codes: Tensor | None = None,
        truncation: Tensor | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        latents = z if codes is None else torch.cat([z, codes], dim=1)
        samples: Tensor = self.finish(self.frozen(latents, label, truncation))
        return samples


class OfImages(nn.Module):
    """The file that is given pictures [N, C, H, W]."""

    def __init__(self, frozen: Frozen, finish: nn.Module) -> None:
        super().__init__()
        self.frozen, self.finish = frozen, finish

    def forward(self, image: Tensor) -> Tensor:
        samples: Tensor = self.finish(self.frozen(image))
        return samples


class OfSeeds(nn.Module):
    """The file that makes them itself, of the seed int64 [N, 1] of each picture."""

    def __init__(self, draw: FromSeeds, frozen: Frozen, finish: nn.Module) -> None:
        super().__init__()
        self.draw, self.frozen, self.finish = draw, frozen, finish

    def forward(self, seed: Tensor, truncation: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        if self.frozen.styled:
            assert truncation is not None
            bound = farthest(self.draw.latent)
            whole = None if bound is None else torch.full_like(truncation, bound)
            samples: Tensor = self.finish(self.frozen(self.draw(seed, whole), label, truncation))
        else:
            samples = self.finish(self.frozen(self.draw(seed, truncation), label))
        return samples


class Pixels(nn.Module):
    """`ganforge.core.pictures.to_pixels`: float32 [N, C, H, W] to uint8 [N, H, W, C], halves to the even level."""

    def forward(self, images: Tensor) -> Tensor:
        return ((images + 1) * 127.5).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def freeze(network: nn.Module) -> Frozen:
    """A copy for inference: CPU, fp32, eval, weights as plain numbers (spectral norm divided out: exact)."""
    frozen = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    for module in frozen.modules():
        if parametrize.is_parametrized(module):
            _own_class(module)
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return Frozen(frozen).eval()


def _own_class(module: nn.Module) -> None:
    """Give a module a class to itself: a copy shares the original's, and removal takes the class apart."""
    shared = type(module)
    members = {k: v for k, v in vars(shared).items() if k not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, members)


def trace(frozen: Frozen, card: Card) -> onnx.ModelProto:
    """The graph, for any batch size. The exporter folds a batch norm into the layer right before it.

    Raises:
        GanforgeError: the exporter cannot follow the network's code.
    """
    # Two rows to trace with: a dynamic size of one would be taken for a constant.
    example = {name: torch.from_numpy(array) for name, array in card.example(2).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own dependencies: nothing a user could act on
        try:
            program = torch.onnx.export(
                _whole(frozen, card),
                kwargs=example,
                dynamo=True,
                dynamic_shapes=_dynamic(card),
                opset_version=OPSET,
                output_names=[one.name for one in card.outputs],
                verbose=False,
            )
        except Exception as error:
            reason = _root(error)
            raise GanforgeError(f"architecture '{card.architecture}' cannot be exported: {reason}") from error
    assert program is not None
    model = program.model_proto
    strip(model)
    model.producer_name, model.producer_version = "ganforge", card.ganforge
    return model


def _dynamic(card: Card) -> dict[str, dict[int, Any]]:
    """Every input's first axis, and the sides of pictures, in steps that the network can take."""
    axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if card.image is not None:
        steps = [torch.export.Dim(name, min=1, max=1 << 16) for name in ("rows", "columns")]
        multiple = card.image.multiple
        axes |= {2 + i: step if multiple == 1 else multiple * step for i, step in enumerate(steps)}
    return {one.name: axes for one in card.inputs}


def _whole(frozen: Frozen, card: Card) -> nn.Module:
    """What the file computes, between the inputs and the output that its card names."""
    finish = Pixels() if card.outputs[0].dtype == "uint8" else nn.Identity()
    if card.image is not None:
        return OfImages(frozen, finish).eval()
    whole = OfSeeds(FromSeeds(card.latent), frozen, finish) if card.seeded else OfLatents(frozen, finish)
    return whole.eval()


def strip(message: Message) -> None:
    """Delete what the exporter notes beside the graph: stack traces, absolute paths, class names."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                strip(part)


def _root(error: BaseException) -> str:
    """The first thing that went wrong, on one line; the exporter wraps it in advice to its own developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
