"""Hierarchical pose search with the field itself at every image and pose (algorithm.md §4.3).

Nothing is shared between images, nothing is interpolated: slow, and the oracle of every shortcut.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.model.evidence import Evidence, shift_disc
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.model.grid_slices import GridSlices
from napari_cryodeco.model.pose_search import coarse, refine

_EXTENT = 0.15625  # largest shift in box sides
_FIRST_RADIUS, _LAST_RADIUS = 12, 32
_SLICE_POINTS = 200_000  # field points evaluated at once


def render(field: FieldDecoder, z: Tensor, ball: Ball, rotations: Tensor, radius: float) -> Tensor:
    """Slices ``(m, count)`` of the map at `z` ``(d,)``, each point by the field."""
    points = ball.points[: ball.count(radius)].float()
    parts = []
    with torch.no_grad():
        for block in rotations.split(max(1, _SLICE_POINTS // len(points))):
            where = (points @ block[:, :2]).reshape(1, -1, 3)
            parts.append(field(where, z[None]).reshape(len(block), -1))
    return torch.cat(parts)


def radii(limit: int, levels: int) -> list[int]:
    """Fourier radius of the base step and of each refinement: 12 … 32, at most `limit`."""
    span = _LAST_RADIUS - _FIRST_RADIUS
    return [min(limit, _FIRST_RADIUS + span * i // max(levels, 1)) for i in range(levels + 1)]


def exact_search(
    field: FieldDecoder,
    z: Tensor,
    evidence: Evidence,
    level: int = 2,
    kept: int = 8,
    levels: int = 4,
) -> tuple[Tensor, Tensor]:
    """Search every rotation and shift for each image.

    Parameters
    ----------
    field
        Decoder of the maps.
    z
        ``(n, d)`` latents of the images.
    evidence
        The images.
    level
        Base grid, see :func:`so3.grid`.
    kept
        Poses kept after each step.
    levels
        Halvings of the grid.

    Returns
    -------
    rotations, shifts
        ``(n, 3, 3)`` and ``(n, 2)`` in box sides.
    """
    found = [
        _search_one(field, z[row], evidence[row : row + 1], level, kept, levels)
        for row in range(len(evidence))
    ]
    rotations, shifts = zip(*found, strict=True)
    return torch.cat(rotations), torch.cat(shifts)


def _search_one(
    field: FieldDecoder, z: Tensor, evidence: Evidence, level: int, kept: int, levels: int
) -> tuple[Tensor, Tensor]:
    ball, device = evidence.ball, z.device
    rings = radii(ball.radius, levels)
    spacing = 2 * _EXTENT / (7 * 2 ** (level - 1))
    grid, shifts = so3.grid(level).to(device), shift_disc(_EXTENT, spacing).to(device)
    slices = GridSlices(render(field, z, ball, grid, rings[0]))
    best = coarse(evidence.prefix(rings[0]), slices, grid, shifts, kept)
    half_step = 1.3 * so3.grid_spacing(2**level) / 4
    for ring in rings[1:]:
        spacing /= 2
        offsets = shift_disc(1.5 * spacing, spacing).to(device)
        best = refine(
            evidence,
            lambda rotations, radius: render(field, z, ball, rotations, radius),
            best,
            half_step,
            offsets,
            ring,
            kept,
        )
        half_step /= 2
    rotations, shifts, _ = best.best()
    return rotations, shifts
