"""What a sample of the images tells of all: their noise, and whether protein is light or dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack import BATCH_PIXELS, ParticleStack
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.contrast import DECIDED, RADIUS, contrast_score
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.preprocess import fourier_crop, noise_level, observe, working_scale

_SAMPLE = 1000  # images that noise and contrast are measured on


@dataclass(frozen=True)
class Calibration:
    """What a sample of the images tells of all.

    `sigma` is the noise of a windowed coefficient; `contrast` that of the protein, and `score` what
    it was judged by (None: the file or the user said it).
    """

    sigma: float
    contrast: Literal["light", "dark"]
    score: float | None

    @property
    def divisor(self) -> float:
        """What :func:`observe` divides by: noise becomes 1 and protein white."""
        return -self.sigma if self.contrast == "dark" else self.sigma


def calibrate(stack: ParticleStack, box: int) -> Calibration:
    """Measure noise and contrast on images spread over the set, cropped to `box` px.

    Raises
    ------
    ValueError
        If the images have no noise around the particle, or hold NaN.
    """
    rows, images = _sample(stack, box)
    sigma = _noise_of(images, stack, box)
    return Calibration(sigma, *_contrast_of(images, stack.particles[rows], box, sigma))


def check_working_box(particles: Particles, box: int) -> None:
    """Raise ValueError unless images can be cropped to `box` px."""
    if box % 2 or not 4 <= box <= particles.box:
        raise ValueError(
            f"Working box {box} px: choose an even number from 4 to {particles.box}, the box of "
            "the images."
        )


def geometry_of(particles: Particles, box: int, known: Calibration) -> Geometry:
    """Sizes and scale of the working coefficients at `box` px, and the contrast of the images."""
    pixel_size = particles.pixel_size * particles.box / box
    scale = working_scale(particles.box, box, known.sigma)
    source = particles.box, particles.pixel_size
    return Geometry(box, pixel_size, box // 2 - 1, scale, *source, known.contrast, known.score)


def calibration_of(geometry: Geometry) -> Calibration:
    """The calibration that a geometry was made with."""
    sigma = geometry.scale / working_scale(geometry.source_box, geometry.box, 1.0)
    return Calibration(sigma, geometry.contrast, geometry.contrast_score)


def _sample(stack: ParticleStack, box: int) -> tuple[Tensor, Tensor]:
    """Rows ``(m,)`` spread over the set, and their images ``(m, box, box)``."""
    rows = torch.linspace(0, len(stack) - 1, min(_SAMPLE, len(stack))).long()
    size = max(1, BATCH_PIXELS // stack.particles.box**2)
    return rows, torch.cat([cropped(stack.read(part), box) for part in rows.split(size)])


def _contrast_of(
    images: Tensor, particles: Particles, box: int, sigma: float
) -> tuple[Literal["light", "dark"], float | None]:
    """Contrast of the particles, and the score of their images where nobody said it."""
    if particles.contrast is not None:
        return particles.contrast, None
    ball = Ball(min(RADIUS, box // 2 - 1), 2)
    frequencies = ball.frequencies(box, particles.pixel_size * particles.box / box)
    ctf = particles.ctf.at(frequencies)
    score = contrast_score(observe(images, ball, sigma), ctf, ball)
    return "dark" if score < -DECIDED else "light", score


def _noise_of(images: Tensor, stack: ParticleStack, box: int) -> float:
    sigma = noise_level(images)
    if box < stack.particles.box:
        sigma *= box / (box - 1)  # cropping emptied the Nyquist row and column of their noise
    if not sigma > 0:
        raise ValueError(
            f"{stack.particles.source}: the images are flat outside the particle, so their noise "
            "cannot be measured; "
            "extract the particles without a mask."
        )
    return sigma


def cropped(images: Tensor, box: int) -> Tensor:
    """Images ``(n, D, D)`` Fourier-cropped to `box` px, or as they are where they have it."""
    return images if images.shape[-1] == box else fourier_crop(images, box)
