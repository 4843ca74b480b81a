"""Adam for tables of which each step sees a few rows.

A dense optimiser moves every row at every step by stale momentum; here a row moves only when its
particle is visited, and its moments are corrected by the number of its own visits (algorithm.md
§4.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8


class RowAdam:
    """Moments of a table ``(n, d)``; :meth:`step` gives what to subtract from the visited rows.

    Parameters
    ----------
    count, size
        Rows and columns of the table.
    device
        Where the moments live.
    """

    def __init__(self, count: int, size: int, device: torch.device | str = "cpu") -> None:
        self.first = torch.zeros(count, size, device=device)
        self.second = torch.zeros(count, size, device=device)
        self.visits = torch.zeros(count, dtype=torch.int32, device=device)

    def step(self, rows: Tensor, gradient: Tensor, rate: float) -> Tensor:
        """Return ``rate · m̂ / (sqrt(v̂) + ε)`` for distinct `rows` with `gradient` ``(b, d)``."""
        self.visits[rows] += 1
        self.first[rows] = _FIRST * self.first[rows] + (1 - _FIRST) * gradient
        self.second[rows] = _SECOND * self.second[rows] + (1 - _SECOND) * gradient**2
        visits = self.visits[rows, None].float()
        first = self.first[rows] / (1 - _FIRST**visits)
        second = self.second[rows] / (1 - _SECOND**visits)
        return rate * first / (second.sqrt() + _EPSILON)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Moments by name, for a checkpoint."""
        return {f"{prefix}.{name}": getattr(self, name) for name in ("first", "second", "visits")}

    def load(self, tensors: dict[str, Tensor], prefix: str) -> None:
        """Take moments back from :meth:`tensors`."""
        for name in ("first", "second", "visits"):
            getattr(self, name).copy_(tensors[f"{prefix}.{name}"])
