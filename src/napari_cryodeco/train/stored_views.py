"""What encoders see of stored particle images, without a run and its working copy."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from napari_cryodeco.data.calibration import calibrate
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.preprocess import fourier_crop, observe, unit_range
from napari_cryodeco.model.prior import prior_view

_BOX = 64  # working box of the small encoder's views, which hold radius 15


class SmallViews:
    """Views ``(b, 1, 32, 32)`` of the small encoder, protein white, corrected for the CTF.

    Parameters
    ----------
    particles
        `contrast` None is judged by the images.
    device
        Where the views are made.
    """

    def __init__(self, particles: Particles, device: torch.device | str = "cpu") -> None:
        self._stack, self._device = ParticleStack(particles), torch.device(device)
        self._ctf = particles.ctf.to(device)
        self._box = min(_BOX, particles.box)
        self._ball = Ball(self._box // 2 - 1, 2, device)
        pixel_size = particles.pixel_size * particles.box / self._box
        self._frequencies = self._ball.frequencies(self._box, pixel_size)

    def __call__(self, rows: Tensor) -> Tensor:
        """Views of the particles `rows` ``(b,)``."""
        h = observe(self._images(rows), self._ball, self._divisor)
        ctf = self._ctf[rows.to(self._device)].at(self._frequencies)
        return prior_view(h, ctf, self._ball)

    def _images(self, rows: Tensor) -> Tensor:
        images = self._stack.read(rows).to(self._device)
        return images if images.shape[-1] == self._box else fourier_crop(images, self._box)

    @cached_property
    def _divisor(self) -> float:
        return calibrate(self._stack, self._box).divisor


class UnitViews:
    """Images ``(b, 1, s, s)`` of 0…1 for a ViT, in the contrast of their file, before its mask.

    Parameters
    ----------
    particles
        Their stored images are resized to `side` pixels.
    side
        Side of the views.
    device
        Where the views are made.
    """

    def __init__(self, particles: Particles, side: int, device: torch.device | str = "cpu") -> None:
        self._stack, self._side, self._device = ParticleStack(particles), side, device

    def __call__(self, rows: Tensor) -> Tensor:
        """Views of the particles `rows` ``(b,)``."""
        return unit_range(self._stack.read(rows).to(self._device), self._side)[:, None]
