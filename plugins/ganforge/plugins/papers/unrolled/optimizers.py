"""What a player's optimizer would do next, as differentiable functions of the gradients.

All of a player's weights are one vector, because every rule here works on each weight by itself. The optimizer
itself is only read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

Update = Callable[[Tensor, Tensor], Tensor]
"""(weights [P], gradient [P]) to the weights after a step; it remembers its moments from step to step."""


def adam(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> Update:
    """Adam (Kingma and Ba, arXiv 1412.6980, Algorithm 1) from the live moments on."""
    group = optimizer.param_groups[0]
    rate, (beta1, beta2), epsilon, decay = (group[key] for key in ("lr", "betas", "eps", "weight_decay"))
    counts = [optimizer.state[p]["step"] for p in parameters if p in optimizer.state]
    taken = torch.stack(counts).max() if counts else torch.zeros((), device=parameters[0].device)
    first, second = (_live(optimizer, parameters, key) for key in ("exp_avg", "exp_avg_sq"))

    def update(weights: Tensor, gradient: Tensor) -> Tensor:
        nonlocal taken, first, second
        gradient = gradient + decay * weights
        taken = taken + 1
        first = first.lerp(gradient, 1 - beta1)
        second = beta2 * second + (1 - beta2) * gradient.square()
        # A weight that never had a gradient has moments of 0, where the root's slope is infinite.
        deviation = (second / (1 - beta2**taken)).clamp_min(1e-30).sqrt()
        return weights - rate / (1 - beta1**taken) * first / (deviation + epsilon)

    return update


def sgd(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> Update:
    """Gradient descent (section 2.2 of Metz et al.), with the live momentum if it has one."""
    group = optimizer.param_groups[0]
    rate, momentum, decay = (group[key] for key in ("lr", "momentum", "weight_decay"))
    velocity = _live(optimizer, parameters, "momentum_buffer")

    def update(weights: Tensor, gradient: Tensor) -> Tensor:
        nonlocal velocity
        velocity = momentum * velocity + gradient + decay * weights
        return weights - rate * velocity

    return update


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """Tensors of any memory layout as one vector, cut from their past."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _live(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], key: str) -> Tensor:
    """One of the optimizer's moments of every weight, as a vector; zeros before its first step."""
    values = [cast(Tensor | None, optimizer.state.get(p, {}).get(key)) for p in parameters]
    filled = [torch.zeros_like(p) if v is None else v for p, v in zip(parameters, values, strict=True)]
    return flat(filled)


UPDATES: dict[str, Callable[[torch.optim.Optimizer, Sequence[nn.Parameter]], Update]] = {"adam": adam, "sgd": sgd}
"""By the name of a player's optimizer."""
