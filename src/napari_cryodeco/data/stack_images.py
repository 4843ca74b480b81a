"""Working images made of the user's own stacks as they are asked for, without a copy."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_cryodeco.data.calibration import calibration_of, cropped
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack import BATCH_PIXELS, ParticleStack
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.preprocess import observe


class StackImages:
    """Working coefficients of particles, as the working copy of a run would hold them.

    Reading is slower than from a working copy, and nothing is written: for runs of which only a
    selection is ever looked at.

    Examples
    --------
    >>> images = StackImages(particles, geometry)
    >>> images[rows]  # (b, p) float32 on the CPU, rows a tensor (b,)
    """

    def __init__(self, particles: Particles, geometry: Geometry) -> None:
        self._stack, self._box = ParticleStack(particles), geometry.box
        self._divisor = calibration_of(geometry).divisor
        self._ball = Ball(geometry.radius, 2)

    def __len__(self) -> int:
        return len(self._stack)

    def __getitem__(self, rows: Tensor) -> Tensor:
        together = max(1, BATCH_PIXELS // self._stack.particles.box**2)
        parts = [self._observed(some) for some in rows.split(together)]
        return torch.cat(parts) if parts else torch.empty(0, len(self._ball))

    def _observed(self, rows: Tensor) -> Tensor:
        return observe(cropped(self._stack.read(rows), self._box), self._ball, self._divisor)
