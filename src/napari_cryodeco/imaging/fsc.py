"""Fourier shell correlation."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.hartley import hartley


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


def cryobench_curve(first: Tensor, second: Tensor) -> Tensor:
    """FSC ``(D/2,)`` of two maps ``(D, D, D)`` at 0, 1, … D/2 − 1 cycles per box, as CryoBench's.

    Point 0 is 1; point i is the shell ``i − 1 <= |k| < i`` (not ``i ± 0.5``, as in `shells`), so
    point 1 is the mean alone. Where a map has no mean (it is in no image, and a decoded map has
    none) that point is 1, as in CryoBench's code; any other shell in which a map has nothing is 0.

    Source: CryoBench, metrics/fsc (Jeon et al. 2024).
    """
    if first.shape != second.shape:
        raise ValueError(f"Maps differ in shape: {tuple(first.shape)} and {tuple(second.shape)}.")
    axis = torch.arange(first.shape[-1]) - first.shape[-1] // 2
    squared = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    shell = (squared.double().sqrt() + 1).floor().long().flatten().to(first.device)
    top = first.shape[-1] // 2
    h, g = (hartley(volume.double(), 3).flatten() for volume in (first, second))

    def per_shell(values: Tensor) -> Tensor:
        return torch.zeros(int(shell.max()) + 1).to(values).index_add_(0, shell, values)[:top]

    cross, power = per_shell(h * g), torch.stack([per_shell(h**2), per_shell(g**2)])
    # Round-off is no signal: its square is some 1e-32 of the map's own.
    present = (power > 1e-12 * power.sum(1, keepdim=True)).all(0)
    curve = torch.where(present, cross / power.prod(0).sqrt().clamp_min(1e-300), 0.0)
    curve[0] = 1.0
    if not present[1]:
        curve[1] = 1.0
    return curve.float()


def area(curve: Tensor) -> float:
    """Area under a :func:`cryobench_curve` over 0 … (D/2 − 1)/D cycles per voxel, clipped to 0…1.

    Two equal maps have ``(D/2 − 1)/D``, 0.492 at D = 128.
    """
    heights = curve.double().abs().clamp(0, 1)
    return float(torch.trapezoid(heights, dx=1 / (2 * len(curve))))
