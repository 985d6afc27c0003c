"""Several processes as one: gradients averaged by hand, batch statistics over the global batch.

Under `torchrun` each process holds a slice of the batch. DistributedDataParallel's hooks do not survive double
backward, so gradients are reduced after backward, once a move.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

if dist.is_available():
    # Before there is a group: imported later, as optimizers do, its functions' defaults would hold it past `stop`.
    import torch.distributed.nn


def rank() -> int:
    return dist.get_rank() if _active() else 0


def world() -> int:
    return dist.get_world_size() if _active() else 1


def _active() -> bool:
    return dist.is_available() and dist.is_initialized()


def start(device: torch.device) -> torch.device:
    """Join the process group when `torchrun` started us; returns this process's device."""
    if "RANK" not in os.environ or _active():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def stop() -> None:
    """Leave the process group together, with its threads ended.

    A process that exits while others still talk to it can take them down; one whose threads outlive the interpreter
    aborts when they give back a tensor.
    """
    if _active():
        dist.barrier()
        dist.destroy_process_group()


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace every gradient by its mean over the processes."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world() == 1 or not gradients:
        return
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= world()
    for gradient, reduced in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(reduced.view_as(gradient))


class _Sum(torch.autograd.Function):
    """All-reduce whose gradient is the all-reduce of the gradients, to any order."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        total = tensor.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *grad: Tensor) -> Tensor:
        summed: Tensor = _Sum.apply(grad[0])
        return summed


def mean(tensor: Tensor) -> Tensor:
    """Mean over the first axis of the global batch, differentiable, in fp32."""
    local = tensor.float().mean(dim=0)
    return local if world() == 1 else _Sum.apply(local) / world()


def gather(tensor: Tensor) -> Tensor:
    """All processes' rows in the order of the global batch, differentiable, in fp32."""
    tensor = tensor.float()
    if world() == 1:
        return tensor
    rows = tensor.new_zeros(world(), *tensor.shape)
    rows[rank()] = tensor
    total: Tensor = _Sum.apply(rows)
    return total.flatten(0, 1)


def agree(flag: bool) -> bool:
    """True in every process when it is true in any."""
    if world() == 1:
        return flag
    votes = torch.tensor([float(flag)], device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(votes)
    return bool(votes.item() > 0)


def same_text(text: str) -> str:
    """The first process's text, in every process."""
    if world() == 1:
        return text
    shared = [text]
    dist.broadcast_object_list(shared)
    return shared[0]
