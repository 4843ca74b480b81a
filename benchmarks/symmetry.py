"""The rotational symmetry of a true map, found by correlating it with itself turned."""

from __future__ import annotations

import math

import healpy
import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.fourier import Cube

RADIUS, ALIKE = 9, 0.9


def _axes() -> Tensor:
    theta, phi = healpy.pix2ang(12, np.arange(12 * 144))
    upper = theta <= math.pi / 2 + 1e-9
    vectors = healpy.ang2vec(theta[upper], phi[upper])
    return torch.as_tensor(vectors, dtype=torch.float32)


def _likeness(cube: Cube, values: Tensor, points: Tensor, turns: Tensor) -> Tensor:
    turned = cube.sample(0, points @ turns)
    return (turned * values).sum(1) / (turned.norm(dim=1) * values.norm())


def cyclic_group(volume: Tensor, orders: tuple[int, ...] = (6, 5, 4, 3, 2)) -> tuple[str, Tensor]:
    """Name and rotations ``(s, 3, 3)`` of the largest cyclic symmetry of a map ``(D, D, D)``."""
    ball = Ball(RADIUS, 3)
    values = ball.from_map(volume.float())
    # the strongest shells would say that every blob is round
    power = torch.zeros(RADIUS + 2).index_add_(0, ball.shells, values**2)
    values = values / power.sqrt()[ball.shells]
    keep = ball.radii > 2.5
    cube = Cube(values[None], ball, RADIUS)
    points, values = ball.points[keep].float(), values[keep]
    for order in orders:
        axes, step = _axes(), 0.06
        for _ in range(5):
            turns = so3.rotvec_to_matrix(axes * (2 * math.pi / order))
            likeness = torch.cat([_likeness(cube, values, points, t) for t in turns.split(64)])
            best = axes[likeness.argmax()]
            around = best + step * torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
            axes = torch.cat([best[None], around / around.norm(dim=1, keepdim=True)])
            step /= 2
        if float(likeness.max()) > ALIKE:
            angles = torch.arange(order)[:, None] * (2 * math.pi / order)
            return f"C{order}", so3.rotvec_to_matrix(best * angles)
    return "C1", torch.eye(3)[None]
