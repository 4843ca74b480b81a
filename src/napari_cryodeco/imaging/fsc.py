"""Fourier shell correlation."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball


def of_coefficients(first: Tensor, second: Tensor, ball: Ball) -> Tensor:
    """FSC ``(radius,)`` over shells 1…radius of Hartley coefficients ``(p,)``.

    It equals that of the complex ones.
    """
    inside = ball.shells[: first.shape[-1]].to(first.device)
    top = int(inside.max())

    def per_shell(values: Tensor) -> Tensor:
        sums = torch.zeros(top + 1, dtype=torch.float64, device=values.device)
        return sums.index_add_(0, inside, values.double())[1:]

    cross = per_shell(first * second)
    power = (per_shell(first**2) * per_shell(second**2)).sqrt()
    return (cross / power.clamp_min(1e-30))[: ball.radius].float()


def shells(first: Tensor, second: Tensor) -> Tensor:
    """FSC ``(D/2 − 1,)`` of two maps ``(D, D, D)`` over shells 1 … D/2 − 1, no mask."""
    if first.shape != second.shape:
        raise ValueError(f"Maps differ in shape: {tuple(first.shape)} and {tuple(second.shape)}.")
    ball = Ball(first.shape[-1] // 2 - 1, 3)
    return of_coefficients(ball.from_map(first.float()), ball.from_map(second.float()), ball)


def mean(first: Tensor, second: Tensor) -> float:
    """Mean FSC over shells 1 … D/2 − 1."""
    return float(shells(first, second).mean())


def resolution(curve: Tensor, length: float, threshold: float = 0.143) -> float:
    """Resolution in Å where the curve first falls under `threshold`, in a box `length` Å wide."""
    below = torch.nonzero(curve < threshold)
    shell = int(below[0]) + 1 if len(below) else len(curve) + 1
    return length / max(shell - 1, 1)
