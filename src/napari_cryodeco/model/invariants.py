"""What of a view does not change when the particle turns in the plane: no training needed.

Radial profiles, power spectra behind masks of several sizes, and angular spectra on rings. They
stand beside the channels of the small prior, which learns worse what they say at once.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

MASKS = (6.0, 9.0, 12.0, 15.0)  # px of a 32-px view
ORDERS, ANGLES = 8, 32
_RADII = 12


@lru_cache(maxsize=8)
def _rings(side: int) -> tuple[Tensor, Tensor]:
    """Ring of every pixel about ``side // 2``, and of every half-spectrum point, as matrices."""
    axis = torch.arange(side) - side // 2
    pixel = (axis[:, None] ** 2 + axis**2).float().sqrt().round().long().flatten()
    fy, fx = torch.fft.fftfreq(side) * side, torch.fft.rfftfreq(side) * side
    point = (fy[:, None] ** 2 + fx**2).sqrt().round().long().flatten()
    return _averages(pixel, side // 2), _averages(point, side // 2)


def _averages(rings: Tensor, count: int) -> Tensor:
    """Matrix ``(points, count)`` that averages over each ring."""
    matrix = functional.one_hot(rings.clamp(max=count), count + 1)[:, :count].float()
    return matrix / matrix.sum(0)


@lru_cache(maxsize=8)
def _polar(side: int) -> Tensor:
    """Sampling grid ``(1, radii, angles, 2)`` for `grid_sample`."""
    radii = torch.arange(1, _RADII + 1).float()
    phi = torch.arange(ANGLES) * 2 * math.pi / ANGLES
    x, y = radii[:, None] * phi.cos() + side // 2, radii[:, None] * phi.sin() + side // 2
    return (2 * torch.stack([x, y], -1) / (side - 1) - 1)[None]


@lru_cache(maxsize=8)
def _masks(side: int) -> Tensor:
    """Soft discs ``(masks, side, side)``."""
    axis = torch.arange(side) - side // 2
    radii = (axis[:, None] ** 2 + axis**2).float().sqrt()
    return torch.stack([((reach + 1 - radii) / 2).clamp(0, 1) for reach in MASKS])


def invariants(views: Tensor) -> Tensor:
    """Invariants ``(b, f)`` of views ``(b, 1, s, s)`` of noise about 1, compressed to order 1."""
    images = views[:, 0].float()
    side, device = images.shape[-1], images.device
    pixel, point = (matrix.to(device) for matrix in _rings(side))
    profile = images.flatten(1) @ pixel
    parts = [profile]
    for mask in _masks(side).to(device):
        power = torch.fft.rfft2(images * mask).abs().square().flatten(1) / mask.square().sum()
        parts.append((power @ point[:, : side // 2]).clamp_min(1e-6).log())
    grid = _polar(side).to(device).expand(len(images), -1, -1, -1)
    sampled = functional.grid_sample(images[:, None], grid, align_corners=True)[:, 0]
    angular = torch.fft.rfft(sampled, dim=2)[:, :, 1 : ORDERS + 1] / ANGLES**0.5
    parts.append(angular.abs().flatten(1))
    for apart in (1, 2, 4):  # rings that turn together: products of neighbours
        product = (angular[:, apart:] * angular[:, :-apart].conj()).real
        parts.append((product.sign() * product.abs().sqrt()).flatten(1))
    return torch.cat(parts, 1)


def length(side: int) -> int:
    """Count the invariants of views of this side."""
    return invariants(torch.zeros(1, 1, side, side)).shape[1]
