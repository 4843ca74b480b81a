"""Which number type makes matrix products fastest here."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Literal

import torch


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    matrix = torch.ones(4096, 256, dtype=dtype, device=device)
    weight = torch.ones(256, 256, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        result = torch.nn.functional.linear(matrix, weight)
        float(result[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - start)
    return best


@lru_cache(maxsize=8)
def _probe(device: torch.device) -> torch.dtype:
    faster = 1.5 * _seconds(torch.bfloat16, device) < _seconds(torch.float32, device)
    return torch.bfloat16 if faster else torch.float32


def choose(precision: Literal["auto", "bf16", "fp32"], device: torch.device) -> torch.dtype:
    """Number type of the matrix products on `device`; "auto" measures for some milliseconds."""
    if precision == "auto":
        return _probe(device)
    return torch.bfloat16 if precision == "bf16" else torch.float32


def gigaflops(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of a 4096×256 by 256×256 product: what the machine gives at this moment."""
    return 2 * 4096 * 256 * 256 / _seconds(dtype, device) / 1e9


def autocast(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Let matrix products and convolutions inside the block compute in `dtype`."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
