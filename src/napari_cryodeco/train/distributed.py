"""One training in several processes (torchrun): what they share each step.

Every process draws its own part of the batch; gradients are averaged, and rank 0 alone decides when
to stop, writes and reports. With one process nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

_PATIENCE = timedelta(hours=1)  # rank 0 probes and saves while the others wait


def size() -> int:
    """Count the processes of this training."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0


def local(batch: int) -> int:
    """Divide a batch: the part of each process.

    Raises
    ------
    ValueError
        If it cannot be divided evenly.
    """
    if batch % size():
        raise ValueError(
            f"A batch of {batch} cannot be shared by {size()} processes: choose a multiple of "
            f"{size()}."
        )
    return batch // size()


def own_device(device: torch.device) -> torch.device:
    """Device of this process: under torchrun each takes the GPU of its number on this machine."""
    if size() > 1 and device.type == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the other processes, over NCCL on GPUs and Gloo elsewhere."""
    if size() == 1:
        yield
        return
    import torch.distributed as dist  # not for the window's processes: see architecture.md

    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def average_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one message."""
    if size() == 1:
        return
    import torch.distributed as dist

    parts = list(tensors)
    flat = torch.cat([part.detach().reshape(-1).float() for part in parts])
    dist.all_reduce(flat)
    flat /= size()
    for part, mean in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
        part.copy_(mean.view(part.shape))


def from_first(values: list[float], device: torch.device) -> list[float]:
    """Return rank 0's `values`, in every process."""
    if size() == 1:
        return values
    import torch.distributed as dist

    # Not float64 everywhere: MPS has none, but there is no torchrun on MPS either.
    message = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(message, 0)
    return message.tolist()


def gather(rows: Tensor) -> Tensor:
    """Rows ``(b, ...)`` of all processes, in order of rank: ``(b · size, ...)``.

    Differentiable: gradients that other processes send to these rows come back, summed, so that
    the mean over processes of the losses has the gradient of one process with the whole batch.
    """
    return rows if size() == 1 else _Gather.apply(rows)


def mean(values: Tensor) -> Tensor:
    """Mean of `values` over all processes, differentiable as :func:`gather` is."""
    return values if size() == 1 else _Mean.apply(values)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        import torch.distributed as dist

        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(size())]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        import torch.distributed as dist

        summed = gradient.contiguous().clone()
        dist.all_reduce(summed)
        return summed.chunk(size())[rank()]


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return _mean(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(values: Tensor) -> Tensor:
    import torch.distributed as dist

    summed = values.contiguous().clone()
    dist.all_reduce(summed)
    return summed / size()
