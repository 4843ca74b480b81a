"""The particles that foreign latents belong to, and a file of ours where no file lists them.

Row i of a run is row i of its particle file. Where latents belong to some rows only (cryoDRGN's
--ind), or the program had the CTF in a pickle beside a bare stack, the run gets a file of its own
with these rows and all their columns; the images stay where they are.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data import cryosparc, star_export
from napari_cryodeco.data.document import StarDocument
from napari_cryodeco.data.foreign.latents import ForeignLatents, ForeignPoses
from napari_cryodeco.data.images import Images, index_images
from napari_cryodeco.data.mrc import read_header
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.read import STACK_SUFFIXES, read_particles
from napari_cryodeco.data.star import CTF
from napari_cryodeco.data.star_rows import particle_block, read_rows
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.poses import Poses


def particles_of(found: ForeignLatents, file: Path, datadir: Path | None) -> Particles:
    """Read the particle file of latents: all its rows, with the CTF of the program if it has none.

    Raises
    ------
    FileNotFoundError, ValueError
        With one sentence that names file, row and cure.
    """
    file = Path(os.path.abspath(file))
    folder = datadir or found.datadir
    if not _needs_ctf(file):
        return read_particles(file, folder)
    if found.ctf is None:
        raise ValueError(
            f"{file} has no CTF: give the STAR or .cs file of the particles, or cryoDRGN's CTF "
            "table as --ctf."
        )
    images = _images(file, folder)
    if len(found.ctf) != len(images.stack_of):
        raise ValueError(
            f"{file} has {len(images.stack_of)} particles but {found.ctf_file} {len(found.ctf)}: "
            "they belong to different sets."
        )
    side, size, u, v, angle, voltage, cs, amplitude, phase = (
        torch.from_numpy(column.astype(np.float32)) for column in found.ctf.T
    )
    return Particles(
        source=file,
        stacks=images.stacks,
        stack_of=torch.from_numpy(images.stack_of),
        slice_of=torch.from_numpy(images.slice_of),
        ctf=Ctf(u, v, torch.deg2rad(angle), voltage, cs, amplitude, torch.deg2rad(phase)),
        poses=None,
        box=images.box,
        pixel_size=float(side[0] * size[0]) / images.box,  # the table is that of unbinned images
    )


def _needs_ctf(file: Path) -> bool:
    """Whether a particle file lists images only."""
    if file.suffix.lower() != ".star":
        return file.suffix.lower() in (".txt", *STACK_SUFFIXES)
    document = StarDocument.read(file)
    optics = document.block_named("optics")
    labels = {*particle_block(document).labels, *(optics.labels if optics is not None else ())}
    return not labels.issuperset(CTF)


def _images(file: Path, datadir: Path | None) -> Images:
    """Where the images of a stack, a list of stacks (.txt) or a STAR file without CTF lie."""
    if file.suffix.lower() == ".star":
        document = StarDocument.read(file)
        names, slices, _ = read_rows(document, particle_block(document), ())
        return index_images(file, names, slices, datadir)
    stacks = [file]
    if file.suffix.lower() == ".txt":
        lines = file.read_text(encoding="utf-8").splitlines()
        stacks = [file.parent / line.strip() for line in lines if line.strip()]
    counts = [read_header(stack).images for stack in stacks]
    names = [str(stack) for stack, count in zip(stacks, counts, strict=True) for _ in range(count)]
    slices = np.concatenate([np.arange(count) for count in counts])
    return index_images(file, names, slices, datadir)


def rows_of(found: ForeignLatents, particles: Particles) -> np.ndarray | None:
    """Rows ``(m,)`` of the particle file that the latents belong to; None: all, in order.

    cryoSPARC's particles are found by their uid, whatever their order.

    Raises
    ------
    ValueError
        If there are not as many latents as rows.
    """
    n, rows = len(particles), found.subset
    if rows is None and found.uids is not None and particles.source != found.file:
        rows = _by_uid(found, particles)
    if rows is not None and len(rows) and rows.max() >= n:
        raise ValueError(
            f"{found.subset_file or found.file} names row {rows.max()} but {particles.source} has "
            f"rows 0 to {n - 1}: give the particle file that the program was given."
        )
    count = n if rows is None else len(rows)
    if len(found) != count:
        which = "" if rows is None else f" in the subset {found.subset_file or ''}".rstrip()
        raise ValueError(
            f"{found.file} has {len(found)} latents but {particles.source} has {count} particles"
            f"{which}: give the particle file of this job, or its subset as --ind."
        )
    return None if rows is None or np.array_equal(rows, np.arange(n)) else rows


def _by_uid(found: ForeignLatents, particles: Particles) -> np.ndarray | None:
    if particles.source.suffix.lower() != ".cs":
        return None
    names = cryosparc.load(particles.source)
    if found.uids is None or "uid" not in (names.dtype.names or ()):
        return None
    rows = cryosparc.match(found.uids, names["uid"])
    if rows is None:
        raise ValueError(
            f"{particles.source} lacks particles of {found.file} (by uid): give the particles that "
            "went into this job."
        )
    return rows


def poses_of(
    poses: ForeignPoses, particles: Particles, rows: np.ndarray | None, count: int
) -> Poses:
    """Poses of the `count` latents: of all rows of the particle file, or of these rows already.

    Raises
    ------
    ValueError
        If they are neither.
    """
    rotations, shifts = poses.rotations, poses.shifts
    if shifts is None:
        shifts = np.zeros((len(rotations), 2))
    if rows is not None and len(rotations) == len(particles):
        rotations, shifts = rotations[rows], shifts[rows]
    if len(rotations) != count:
        raise ValueError(
            f"{poses.file} has {len(rotations)} orientations but there are latents of {count} "
            "particles: give the poses file of this job as --poses."
        )
    length = particles.pixel_size * (particles.box if poses.unit == "box" else 1)
    return Poses(
        torch.from_numpy(np.ascontiguousarray(rotations, np.float32)),
        torch.from_numpy(np.ascontiguousarray(shifts * length, np.float32)),
    )


def own_file(particles: Particles, rows: np.ndarray | None, folder: Path) -> Particles:
    """The particles of `rows`, listed by a file in `folder` where no file of the user's does.

    A .star or .cs file keeps all its columns (those of passthrough files too); of a bare stack a
    STAR file is made.
    """
    kind = particles.source.suffix.lower()
    bare = kind not in (".star", ".cs") or (kind == ".star" and _needs_ctf(particles.source))
    if rows is None and not bare:
        return particles
    rows = np.arange(len(particles)) if rows is None else rows
    out = folder / ("particles.cs" if kind == ".cs" else "particles.star")
    if bare:
        star_export.write_particles(particles, rows, out)
    elif kind == ".cs":
        cryosparc.write_columns(particles.source, rows, out)
    else:
        star_export.write_rows(particles, rows, out)
    return replace(particles[torch.from_numpy(rows)], source=out)
