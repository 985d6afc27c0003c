"""DCGAN's initial weights, which other papers took over."""

from __future__ import annotations

from torch import nn


def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), batch norm scales N(1, 0.02), biases zero (section 4 and the authors' code)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
