"""Particle images: reading them, and a float32 copy for RELION 3.1."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.atomic import replacing
from napari_cryodeco.data.mrc import FLOAT16_MODE, read_header, write_header
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.row_file import RowFile

Progress = Callable[[int, int], None]
_OPEN_STACKS = 64
BATCH_PIXELS = 2**22


class ParticleStack:
    """Images of particles, read from disk as they are asked for.

    Examples
    --------
    >>> images = ParticleStack(particles).read(torch.arange(10))  # (10, D, D) float32
    """

    def __init__(self, particles: Particles) -> None:
        self.particles = particles
        self._files: OrderedDict[int, RowFile] = OrderedDict()

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
            images[here] = self._file(index).read(slice_of[here]).reshape(-1, box, box)
        self._check_finite(images, rows)
        return torch.from_numpy(images)

    def _file(self, index: int) -> RowFile:
        if index not in self._files:
            while (
                len(self._files) >= _OPEN_STACKS
            ):  # a data set may have more stacks than a process may open files
                self._files.popitem(last=False)
            self._files[index] = read_header(self.particles.stacks[index]).open()
        self._files.move_to_end(index)
        return self._files[index]

    def _check_finite(self, images: np.ndarray, rows: Tensor) -> None:
        wrong = np.flatnonzero(~np.isfinite(images.sum((1, 2), dtype=np.float64)))
        if len(wrong):
            row = int(rows[int(wrong[0])])
            raise ValueError(
                f"{self.particles.source}, row {row + 1}: image {self.particles.image_name(row)} "
                "holds NaN or infinite "
                "values; remove this particle or extract it again."
            )

    def batches(self, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Particles `start` to `stop` in order: ``(rows (b,), images (b, D, D))``."""
        size = max(1, min(1024, BATCH_PIXELS // self.particles.box**2))
        for rows in torch.arange(start, stop).split(size):
            yield rows, self.read(rows)


def has_half_floats(particles: Particles, rows: Tensor) -> bool:
    """Tell whether any of `rows` ``(m,)`` lies in a stack of 16-bit floats (MRC mode 12)."""
    used = particles.stack_of[rows].unique().tolist()
    return any(read_header(particles.stacks[index]).mode == FLOAT16_MODE for index in used)


def reserve(path: Path, size: int) -> None:
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
    size = max(1, BATCH_PIXELS // particles.box**2)
    with replacing(out) as part, part.open("wb") as file:
        reserve(out, 4 * len(rows) * particles.box**2)
        write_header(file, len(rows), particles.box, particles.pixel_size)
        done = 0
        for some in torch.from_numpy(rows).split(size):
            file.write(stack.read(some).numpy().astype("<f4").tobytes())
            done += len(some)
            if progress is not None:
                progress(done, len(rows))
