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
ORDERS = (8, 7, 6, 5, 4, 3, 2)
_PROMISING, _PEAKS = 0.5, 24  # likeness of a coarse axis, and how many of them are looked at
_SAME = math.radians(8)  # two rotations of a group of up to 60 are farther apart than this


def _axes() -> Tensor:
    theta, phi = healpy.pix2ang(12, np.arange(12 * 144))
    upper = theta <= math.pi / 2 + 1e-9
    vectors = healpy.ang2vec(theta[upper], phi[upper])
    return torch.as_tensor(vectors, dtype=torch.float32)


class _Map:
    """A map whitened by shells: the strongest ones would say that every blob is round."""

    def __init__(self, volume: Tensor) -> None:
        ball = Ball(RADIUS, 3)
        values = ball.from_map(volume.float())
        power = torch.zeros(RADIUS + 2).index_add_(0, ball.shells, values**2)
        values = values / power.sqrt()[ball.shells]
        keep = ball.radii > 2.5
        self._cube = Cube(values[None], ball, RADIUS)
        self._points, self._values = ball.points[keep].float(), values[keep]

    def likeness(self, turns: Tensor) -> Tensor:
        """Correlation ``(m,)`` of the map with itself, turned ``(m, 3, 3)``."""
        found = []
        for some in turns.split(64):
            turned = self._cube.sample(0, self._points @ some)
            norm = turned.norm(dim=1) * self._values.norm()
            found.append((turned * self._values).sum(1) / norm)
        return torch.cat(found)


def _apart(axes: Tensor, likeness: Tensor, least: float) -> Tensor:
    """The axes ``(m, 3)`` above `least`, each the best within 15°, the best first."""
    chosen: list[Tensor] = []
    for place in likeness.argsort(descending=True).tolist():
        if float(likeness[place]) < least or len(chosen) == _PEAKS:
            break
        if all(float((axes[place] @ other).abs()) < math.cos(math.radians(15)) for other in chosen):
            chosen.append(axes[place])
    return torch.stack(chosen) if chosen else torch.zeros(0, 3)


def _refined(seen: _Map, axis: Tensor, order: int) -> tuple[Tensor, float]:
    """Best axis near one, and its likeness."""
    draw, step = torch.Generator().manual_seed(0), 0.12
    for _ in range(9):
        near = axis + step * torch.randn(24, 3, generator=draw)
        tried = torch.cat([axis[None], near / near.norm(dim=1, keepdim=True)])
        likeness = seen.likeness(so3.rotvec_to_matrix(tried * (2 * math.pi / order)))
        axis, step = tried[likeness.argmax()], step / 1.5
    return axis, float(likeness.max())


def _closed(generators: list[Tensor]) -> Tensor:
    """All products of some rotations, or of the first alone if they do not close at 60."""
    group = [torch.eye(3)]
    while True:
        have = torch.stack(group)
        for turn in generators:
            for product in have @ turn:
                if float(so3.angle_between(torch.stack(group), product[None]).min()) > _SAME:
                    group.append(product)
            if len(group) > 60:
                return _closed(generators[:1])
        if len(group) == len(have):
            return have


def _name(size: int, order: int) -> str:
    if size == order:
        return f"C{order}"
    return {12: "T", 24: "O", 60: "I"}.get(size if order < 6 else 0, f"D{order}")


def rotation_group(volume: Tensor) -> tuple[str, Tensor]:
    """Name and rotations ``(s, 3, 3)`` of the symmetry of a map ``(D, D, D)``, to shell 9.

    Cyclic, dihedral, tetrahedral, octahedral or icosahedral; the identity comes first.
    """
    seen, axes = _Map(volume), _axes()
    generators: list[Tensor] = []
    largest = 1
    for order in ORDERS:
        turns = so3.rotvec_to_matrix(axes * (2 * math.pi / order))
        peaks = _apart(axes, seen.likeness(turns), _PROMISING)
        found = [_refined(seen, axis, order) for axis in peaks]
        if not found:
            continue
        best, alike = torch.stack([axis for axis, _ in found]), torch.tensor([a for _, a in found])
        for axis in _apart(best, alike, ALIKE):
            generators.append(so3.rotvec_to_matrix(axis[None] * (2 * math.pi / order))[0])
            largest = max(largest, order)
    if not generators:
        return "C1", torch.eye(3)[None]
    group = _closed(generators)
    return _name(len(group), largest), group
