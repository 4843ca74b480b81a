"""Open any file of particles: STAR, cryoSPARC .cs, or a bare MRC stack with a given CTF."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data import cryosparc, star
from napari_cryodeco.data.images import index_images
from napari_cryodeco.data.mrc import read_header
from napari_cryodeco.data.particles import Contrast, Particles
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.imaging.ctf import Ctf

_SAMPLE = 64
STACK_SUFFIXES = (".mrcs", ".mrc")


@dataclass(frozen=True)
class CtfOptions:
    """One CTF for all images of a bare stack.

    `defocus_u`, `defocus_v` in Å (underfocus positive; v as u when None), `angle` of astigmatism
    and `phase` shift in degrees, `voltage` in kV, `cs` in mm, `amplitude` contrast 0 to 1,
    `pixel_size` in Å (None: from the MRC header).
    """

    defocus_u: float
    defocus_v: float | None = None
    angle: float = 0.0
    voltage: float = 300.0
    cs: float = 2.7
    amplitude: float = 0.1
    phase: float = 0.0
    pixel_size: float | None = None
    contrast: Contrast | None = None


def read_particles(
    path: Path | str, datadir: Path | str | None = None, ctf_options: CtfOptions | None = None
) -> Particles:
    """Read particles by the suffix of the file and check them and a sample of their images.

    Parameters
    ----------
    path
        ``.star``, ``.cs``, ``.mrcs`` or ``.mrc``.
    datadir
        Folder of the stacks, where they are not near the file.
    ctf_options
        Needed for a bare stack only.

    Raises
    ------
    FileNotFoundError, ValueError
        With one sentence that names file, row and cure.
    """
    path = Path(os.path.abspath(path))
    folder = None if datadir is None else Path(datadir)
    suffix = path.suffix.lower()
    if suffix == ".star":
        particles = star.read(path, folder)
    elif suffix == ".cs":
        particles = cryosparc.read(path, folder)
    elif suffix in STACK_SUFFIXES:
        particles = _read_stack(path, ctf_options)
    else:
        raise ValueError(
            f"{path}: particles are read from .star, .cs or .mrcs files; choose one of these."
        )
    _check_sample(particles)
    return particles


def _read_stack(path: Path, options: CtfOptions | None) -> Particles:
    header = read_header(path)
    if options is None:
        raise ValueError(
            f"{path} holds images without a CTF: give its STAR or .cs file, or the defocus and "
            "voltage."
        )
    pixel_size = options.pixel_size or header.pixel_size
    if not pixel_size > 0:
        raise ValueError(f"{path} has no pixel size in its header: give the pixel size in Å.")
    images = index_images(path, [str(path)] * header.images, np.arange(header.images), None)
    defocus_v = options.defocus_u if options.defocus_v is None else options.defocus_v
    angle, phase = np.deg2rad([options.angle, options.phase])
    values = (
        options.defocus_u,
        defocus_v,
        angle,
        options.voltage,
        options.cs,
        options.amplitude,
        phase,
    )
    return Particles(
        source=path,
        stacks=images.stacks,
        stack_of=torch.from_numpy(images.stack_of),
        slice_of=torch.from_numpy(images.slice_of),
        ctf=Ctf(*(torch.full((header.images,), float(value)) for value in values)),
        poses=None,
        box=images.box,
        pixel_size=pixel_size,
        contrast=options.contrast,
    )


def _check_sample(particles: Particles) -> None:
    rows = torch.linspace(0, len(particles) - 1, min(_SAMPLE, len(particles))).long()
    ParticleStack(particles).read(rows)
