"""A map on another grid: any box and voxel size, exact for what both grids can hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def resample(volume: Tensor, pixel_size: float, box: int, new_pixel_size: float) -> Tensor:
    """Sample a map ``(d, d, d)`` of `pixel_size` Å on a grid ``(box, box, box)``, centre on centre.

    The trigonometric polynomial through the voxels is evaluated at the new places, without what is
    finer than the new grid can hold (along each axis). Outside the old box the map is zero. Values
    stay what they are: density, not sums.

    Raises
    ------
    ValueError
        If the map is no cube, or a size is not positive.
    """
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise ValueError(f"A map of shape {tuple(volume.shape)}: it must be a cube.")
    if not (pixel_size > 0 and new_pixel_size > 0 and box > 1):
        raise ValueError(
            f"Voxels of {pixel_size} and {new_pixel_size} Å, box {box}: all must be positive."
        )
    side = volume.shape[-1]
    if side == box and math.isclose(pixel_size, new_pixel_size, rel_tol=1e-6):
        return volume
    matrix = _interpolation(side, box, new_pixel_size / pixel_size).to(volume)
    for _ in range(3):  # the last axis is done and becomes the first, three times round
        volume = torch.tensordot(matrix, volume, dims=([1], [2]))
    return volume


def _interpolation(side: int, box: int, step: float) -> Tensor:
    """Weights ``(box, side)`` of the old voxels at new places `step` old voxels apart."""
    place = (torch.arange(box, dtype=torch.float64) - box // 2) * step
    offset = place[:, None] - (torch.arange(side, dtype=torch.float64) - side // 2)
    # cycles per old box that both grids hold
    top = min(side // 2, math.floor(side / (2 * step) + 1e-6))
    waves = torch.arange(1, top + 1, dtype=torch.float64)
    heights = torch.full_like(waves, 2.0)
    if 2 * top == side:
        heights[-1] = 1.0  # both Nyquist points are one
    kernel = torch.ones_like(offset)
    for wave, height in zip(waves.tolist(), heights.tolist(), strict=True):
        kernel += height * torch.cos(2 * math.pi * wave / side * offset)
    inside = (place >= -(side // 2)) & (place <= (side - 1) // 2 + 0.5)
    return kernel / side * inside[:, None]
