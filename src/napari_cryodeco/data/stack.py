"""Particle images: reading them, the working copy of a run, a float32 copy for RELION 3.1."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.atomic import replacing
from napari_cryodeco.data.mrc import FLOAT16_MODE, read_header, write_header
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.contrast import DECIDED, RADIUS, contrast_score
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.preprocess import fourier_crop, noise_level, observe, working_scale

Progress = Callable[[int, int], None]
_OPEN_STACKS = 64
_BATCH_PIXELS = 2**22
_SAMPLE = 1000  # images that noise and contrast are measured on


class ParticleStack:
    """Images of particles, read by memory map.

    Examples
    --------
    >>> images = ParticleStack(particles).read(torch.arange(10))  # (10, D, D) float32
    """

    def __init__(self, particles: Particles) -> None:
        self.particles = particles
        self._maps: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.particles)

    def read(self, rows: Tensor) -> Tensor:
        """Read the images of `rows` ``(b,)`` as float32 ``(b, D, D)``, in the contrast of the file.

        Raises
        ------
        ValueError
            If an image holds NaN or infinite values; the sentence names file, row and image.
        """
        rows = torch.as_tensor(rows)
        stack_of = self.particles.stack_of[rows].numpy()
        slice_of = self.particles.slice_of[rows].numpy()
        box = self.particles.box
        images = np.empty((len(rows), box, box), dtype=np.float32)
        for index in np.unique(stack_of).tolist():
            here = np.flatnonzero(stack_of == index)
            images[here] = self._map(index)[slice_of[here]]
        self._check_finite(images, rows)
        return torch.from_numpy(images)

    def _map(self, index: int) -> np.ndarray:
        if index not in self._maps:
            while (
                len(self._maps) >= _OPEN_STACKS
            ):  # a data set may have more stacks than a process may open files
                self._maps.popitem(last=False)
            self._maps[index] = read_header(self.particles.stacks[index]).memory_map()
        self._maps.move_to_end(index)
        return self._maps[index]

    def _check_finite(self, images: np.ndarray, rows: Tensor) -> None:
        wrong = np.flatnonzero(~np.isfinite(images.sum((1, 2), dtype=np.float64)))
        if len(wrong):
            row = int(rows[int(wrong[0])])
            raise ValueError(
                f"{self.particles.source}, row {row + 1}: image {self.particles.image_name(row)} "
                "holds NaN or infinite "
                "values; remove this particle or extract it again."
            )

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All particles in order: ``(rows (b,), images (b, D, D))``."""
        size = max(1, min(1024, _BATCH_PIXELS // self.particles.box**2))
        for rows in torch.arange(len(self)).split(size):
            yield rows, self.read(rows)


def has_half_floats(particles: Particles, rows: Tensor) -> bool:
    """Tell whether any of `rows` ``(m,)`` lies in a stack of 16-bit floats (MRC mode 12)."""
    used = particles.stack_of[rows].unique().tolist()
    return any(read_header(particles.stacks[index]).mode == FLOAT16_MODE for index in used)


def write_working_copy(
    particles: Particles, box: int, path: Path, progress: Progress | None = None
) -> Geometry:
    """Write the working coefficients of all particles, float16 ``(n, p)``, as one ``.npy`` file.

    Images are Fourier-cropped to `box`, windowed, transformed and divided by the noise level of a
    sample; dark particles are inverted, so that protein is white. Where nobody says whether they
    are, the sample is asked. The file appears under its name when it is whole; an interrupted call
    is simply made again.

    Parameters
    ----------
    particles
        `contrast` None is judged by the images, and counts as light where they do not tell.
    box
        Working box in pixels, even, at most the box of the images.
    path
        New ``.npy`` file.
    progress
        Called with (done, of) images after each batch; may raise to stop.

    Returns
    -------
    Geometry
        Sizes and scale of the working coefficients, and the contrast of the images.

    Raises
    ------
    ValueError
        If the box does not fit or an image holds NaN.
    OSError
        If the disk is full or the folder read-only.
    """
    if box % 2 or not 4 <= box <= particles.box:
        raise ValueError(
            f"Working box {box} px: choose an even number from 4 to {particles.box}, the box of "
            "the images."
        )
    stack = ParticleStack(particles)
    ball = Ball(box // 2 - 1, 2)
    found = calibrate(stack, box)
    with replacing(path) as part, part.open("wb") as file:
        _reserve(path, len(particles) * len(ball) * 2)
        shape = (len(particles), len(ball))
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f2", "fortran_order": False, "shape": shape}
        )
        for rows, images in stack.batches():
            _write_half(file, observe(_cropped(images, box), ball, found.divisor), particles, rows)
            if progress is not None:
                progress(int(rows[-1]) + 1, len(particles))
    pixel_size = particles.pixel_size * particles.box / box
    scale = working_scale(particles.box, box, found.sigma)
    source = particles.box, particles.pixel_size
    return Geometry(box, pixel_size, box // 2 - 1, scale, *source, found.contrast, found.score)


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


def _sample(stack: ParticleStack, box: int) -> tuple[Tensor, Tensor]:
    """Rows ``(m,)`` spread over the set, and their images ``(m, box, box)``."""
    rows = torch.linspace(0, len(stack) - 1, min(_SAMPLE, len(stack))).long()
    size = max(1, _BATCH_PIXELS // stack.particles.box**2)
    return rows, torch.cat([_cropped(stack.read(part), box) for part in rows.split(size)])


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


def _cropped(images: Tensor, box: int) -> Tensor:
    return images if images.shape[-1] == box else fourier_crop(images, box)


def _write_half(file: BinaryIO, coefficients: Tensor, particles: Particles, rows: Tensor) -> None:
    half = coefficients.half()
    wrong = (~half.isfinite()).any(1).nonzero()
    if len(wrong):
        row = int(rows[int(wrong[0])])
        raise ValueError(
            f"{particles.source}, row {row + 1}: image {particles.image_name(row)} is thousands "
            "of times stronger than "
            "its noise; remove this particle or normalise it again."
        )
    file.write(half.numpy().tobytes())


def _reserve(path: Path, size: int) -> None:
    """Raise at once if the disk has not `size` bytes left, instead of after hours."""
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(
            f"{path}: {size / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are left on this "
            "disk; free some or choose another folder."
        )


def write_float32_copy(
    particles: Particles, rows: np.ndarray, out: Path, progress: Progress | None = None
) -> None:
    """Copy the images of `rows` ``(m,)``, in this order, into one new float32 stack `out`."""
    stack = ParticleStack(particles)
    size = max(1, _BATCH_PIXELS // particles.box**2)
    with replacing(out) as part, part.open("wb") as file:
        _reserve(out, 4 * len(rows) * particles.box**2)
        write_header(file, len(rows), particles.box, particles.pixel_size)
        done = 0
        for some in torch.from_numpy(rows).split(size):
            file.write(stack.read(some).numpy().astype("<f4").tobytes())
            done += len(some)
            if progress is not None:
                progress(done, len(rows))
