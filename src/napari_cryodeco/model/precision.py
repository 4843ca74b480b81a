"""Which number type makes matrix products fastest here."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

ROUNDS = 9, 60  # a product is timed so often at least, and at most
LASTING = 0.1  # seconds: beside other programs, some of the rounds then have the cores they need


def _product(dtype: torch.dtype, device: torch.device) -> Callable[[], Tensor]:
    matrix = torch.ones(4096, 256, dtype=dtype, device=device)
    weight = torch.ones(256, 256, dtype=dtype, device=device)
    return lambda: torch.nn.functional.linear(matrix, weight)


def _race(
    *products: Callable[[], Tensor], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Shortest time of each, in seconds; they take turns, so that a busy moment hits all."""
    best = [float("inf")] * len(products)
    fewest, most = ROUNDS
    end = time.perf_counter() + LASTING
    for turn in range(most):
        if turn >= fewest and time.perf_counter() > end:
            break
        for place, product in enumerate(products):
            start = clock()
            float(product()[0, 0])  # waits for the device
            best[place] = min(best[place], clock() - start)
    return best


@lru_cache(maxsize=8)
def _probe(device: torch.device) -> torch.dtype:
    half, single = _race(*(_product(dtype, device) for dtype in (torch.bfloat16, torch.float32)))
    return torch.bfloat16 if 1.5 * half < single else torch.float32


def choose(precision: Literal["auto", "bf16", "fp32"], device: torch.device) -> torch.dtype:
    """Number type of the matrix products on `device`; "auto" measures for a tenth of a second."""
    if precision == "auto":
        return _probe(device)
    return torch.bfloat16 if precision == "bf16" else torch.float32


def choose_products(
    precision: Literal["auto", "bf16", "fp32"], device: torch.device
) -> torch.dtype:
    """Number type of the grid search's products: as :func:`choose`, or bytes where they win."""
    if precision == "auto" and device.type == "cpu" and _bytes_win():
        return torch.int8
    return choose(precision, device)


def byte_product(first: Tensor, second: Tensor) -> Tensor:
    """Matrix product of int8 in int32, on a CPU; torch has no public name for it yet."""
    product: Tensor = torch._int_mm(first, second)
    return product


@lru_cache(maxsize=1)
def _bytes_win() -> bool:
    """Whether this torch multiplies bytes here, rightly, and much faster than anything else."""
    first = torch.arange(-60, 67, dtype=torch.int8).repeat(512, 2)[:, :250].contiguous()
    second = first.flip(1).T
    wide, across = first.float(), second.float()
    half, beyond = wide.bfloat16(), across.bfloat16()
    try:
        right = torch.equal(byte_product(first, second).float(), wide @ across)
        # the thread's own time: other programs on the same cores say nothing about this one
        took, *others = _race(
            lambda: byte_product(first, second),
            lambda: wide @ across,
            lambda: half @ beyond,
            clock=time.thread_time,
        )
    except (AttributeError, RuntimeError):
        return False
    return right and 1.5 * took < min(others)


def gigaflops(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of a 4096×256 by 256×256 product: what the machine gives at this moment."""
    return 2 * 4096 * 256 * 256 / _race(_product(dtype, device))[0] / 1e9


def autocast(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Let matrix products and convolutions inside the block compute in `dtype`."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
