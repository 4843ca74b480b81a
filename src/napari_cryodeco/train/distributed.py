"""One training in several processes (torchrun): what they share each step.

Every process works on its own part of the batch; gradients are averaged or summed, and rank 0 alone
decides when to stop, writes and reports. With one process nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from napari_cryodeco.runs.process import world_rank, world_size

_PATIENCE = timedelta(hours=1)  # rank 0 probes and saves while the others wait
_LONG_PATIENCE = timedelta(days=60)  # rank 0 does whole stages alone; a dead one is noticed at once
_MOST_AXES = 6  # of a tensor that is told
_LOST = ("connection closed", "connection reset", "broken pipe", "remote process exited")

_first_tells: list[Any] = []
"""The Gloo group over which rank 0 is waited for, while several processes are joined."""


def size() -> int:
    """Count the processes of this training."""
    return world_size()


def rank() -> int:
    """Number of this process, from 0."""
    return world_rank()


def share(count: int, number: int | None = None) -> slice:
    """Rows of `count` that process `number` (this one) keeps: runs of rows, as even as can be.

    Raises
    ------
    ValueError
        If there are fewer rows than processes.
    """
    if count < size():
        raise ValueError(f"{count} particles cannot be shared by {size()} processes: start fewer.")
    number = rank() if number is None else number
    return slice(count * number // size(), count * (number + 1) // size())


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
    """Join the other processes, over NCCL between GPUs and Gloo elsewhere.

    Raises
    ------
    ValueError
        If another process ended while this one needed it.
    """
    if size() == 1:
        yield
        return
    import torch.distributed as dist  # not for the window's processes: see architecture.md

    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    _first_tells.append(dist.new_group(backend="gloo", timeout=_LONG_PATIENCE))
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error).lower() for words in _LOST):
            raise ValueError(
                "Another process of this training ended; its own message says why."
            ) from error
        raise
    finally:
        _first_tells.clear()
        dist.destroy_process_group()


def average_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one message."""
    if size() > 1:
        _replace(list(tensors), lambda flat: _summed(flat.float()) / size())


def sum_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor, all of one type, by its sum over all processes, in one message."""
    if size() > 1:
        _replace(list(tensors), _summed)


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient that there is by its sum over all processes."""
    sum_(part.grad for part in parameters if part.grad is not None)


def copy_first_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by that of rank 0."""
    if size() == 1:
        return
    import torch.distributed as dist

    for tensor in tensors:
        dist.broadcast(tensor, 0)


def from_first(values: list[float]) -> list[float]:
    """Return rank 0's `values`, in every process, however long it works before it tells them."""
    if size() == 1:
        return values
    import torch.distributed as dist

    message = torch.tensor(values, dtype=torch.float64)
    dist.broadcast(message, 0, _first_tells[0])
    return message.tolist()


def total(count: int) -> int:
    """Sum of `count` over all processes."""
    number = torch.tensor([count])
    sum_([number])
    return int(number)


def everywhere(rows: Tensor, count: int) -> Tensor:
    """Rows ``(count, ...)`` of all processes, each of which has its :func:`share` of them."""
    if size() == 1:
        return rows
    kind = torch.uint8 if rows.dtype == torch.bool else rows.dtype
    whole = torch.zeros(count, *rows.shape[1:], dtype=kind, device=rows.device)
    whole[share(count)] = rows.to(kind)
    return _summed(whole).to(rows.dtype)


def of_first(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rank 0's tensors, in every process; names and types are the same, shapes need not be."""
    if size() == 1:
        return tensors
    import torch.distributed as dist

    told = {}
    for name, value in sorted(tensors.items()):
        sizes = [*value.shape, *[-1] * (_MOST_AXES - value.ndim)]
        shape = [int(length) for length in from_first([float(n) for n in sizes]) if length >= 0]
        told[name] = value.contiguous() if not rank() else value.new_empty(shape)
        dist.broadcast(told[name].view(torch.uint8) if shape else told[name], 0)
    return told


def gather_rows(rows: Tensor) -> Tensor:
    """Rows ``(m, ...)`` of all processes in order of rank, at rank 0 and on its CPU.

    The other processes, and a single one, get their own rows back as they are.
    """
    if size() == 1:
        return rows
    import torch.distributed as dist

    counts = torch.zeros(size(), dtype=torch.int64)
    counts[rank()] = len(rows)
    sum_([counts])
    if rank():
        dist.send(rows.detach().cpu().contiguous(), 0)
        return rows
    parts = [rows.detach().cpu()]
    for other in range(1, size()):
        parts.append(torch.empty(int(counts[other]), *rows.shape[1:], dtype=rows.dtype))
        dist.recv(parts[-1], other)
    return torch.cat(parts)


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
    return _summed(values.contiguous().clone()) / size()


def _summed(values: Tensor) -> Tensor:
    """Sum over all processes, in place."""
    import torch.distributed as dist

    dist.all_reduce(values)
    return values


def _replace(parts: list[Tensor], shared: Callable[[Tensor], Tensor]) -> None:
    """Put into each tensor what all processes make of it, sent as one message."""
    flat = shared(torch.cat([part.detach().reshape(-1) for part in parts]))
    for part, found in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
        part.detach().copy_(found.view(part.shape))
