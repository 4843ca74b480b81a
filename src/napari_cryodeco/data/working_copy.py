"""The working copy of a run: all images, Fourier-cropped once into one float16 file.

Nothing of it is ever held in memory but one batch. It is written in blocks; one that was killed
goes on at the block where it was, and gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from napari_cryodeco.atomic import explain
from napari_cryodeco.data.calibration import (
    Calibration,
    calibrate,
    check_working_box,
    cropped,
    geometry_of,
)
from napari_cryodeco.data.copy_record import (
    CopyRecord,
    checksum,
    damaged_blocks,
    part_path,
    read_record,
    record_path,
    rows_checksum,
    stamps,
    write_record,
)
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack import ParticleStack, Progress, reserve
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.preprocess import observe

BLOCK = 4096  # images: 26 MB at 64 px, 105 MB at 128 px


def write_working_copy(
    particles: Particles, box: int, path: Path, progress: Progress | None = None
) -> Geometry:
    """Write the working coefficients of all particles, float16 ``(n, p)``, as one ``.npy`` file.

    Images are Fourier-cropped to `box`, windowed, transformed and divided by the noise level of a
    sample; dark particles are inverted, so that protein is white. Where nobody says whether they
    are, the sample is asked. The file appears under its name when it is whole. An interrupted call
    that is made again goes on at its block, unless box, particles or stacks changed.

    Parameters
    ----------
    particles
        `contrast` None is judged by the images, and counts as light where they do not tell.
    box
        Working box in pixels, even, at most the box of the images.
    path
        New ``.npy`` file; beside it lies its record (:mod:`~napari_cryodeco.data.copy_record`).
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
    check_working_box(particles, box)
    record = _begun(particles, box, path)
    if not (record.finished and path.is_file()):
        try:
            _write(particles, record, path, progress)
        except OSError as error:
            explain(error, path)
            raise
    known = Calibration(record.sigma, record.contrast, record.score)
    return geometry_of(particles, record.box, known)


def repair(particles: Particles, path: Path, progress: Progress | None = None) -> list[int]:
    """Copy what is missing or damaged of a working copy again, and list the blocks that stay so.

    They do where the stacks are no longer what they were.

    Raises
    ------
    ValueError
        If it has no record, or was not finished.
    """
    record = read_record(path)
    if record is None or not record.finished:
        raise ValueError(
            f"{path} has no whole list of checksums to be repaired by: make a new run."
        )
    with path.open("r+b" if path.is_file() else "w+b") as file:
        file.write(record.header)
        file.truncate(record.offset(record.count))
    for block in damaged_blocks(path, record, progress):
        pieces = list(_observed(particles, record, block, lambda done: None))
        if checksum(pieces) == record.checksums[block]:
            with path.open("r+b") as file:
                _put(file, record, block, pieces)
    return damaged_blocks(path, record, progress)


def _begun(particles: Particles, box: int, path: Path) -> CopyRecord:
    """The record of the copy that was begun, if it can be gone on with, or a new one."""
    sources, rows = stamps(particles), rows_checksum(particles)
    found = _readable(path)
    asked = (box, rows, sources, particles.contrast or found.contrast) if found else None
    if found and (found.box, found.rows, found.sources, found.contrast) == asked:
        written = path if found.finished and path.is_file() else part_path(path)
        if written.is_file() and written.stat().st_size >= found.offset(found.reached):
            return found
    known = calibrate(ParticleStack(particles), box)
    points = len(Ball(box // 2 - 1, 2))
    return CopyRecord(
        len(particles), points, box, rows, known.sigma, known.contrast, known.score, sources, BLOCK
    )


def _readable(path: Path) -> CopyRecord | None:
    try:
        return read_record(path)
    except ValueError:
        return None  # the copy is made anew, its record with it


def _write(particles: Particles, record: CopyRecord, path: Path, progress: Progress | None) -> None:
    """Write the blocks that are not there yet, each with its checksum, then name the file."""
    part = part_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    reserve(path, record.offset(record.count) - record.offset(record.reached))

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, record.count)

    if not record.checksums:
        record_path(path).unlink(missing_ok=True)  # that of another copy
    with part.open("r+b" if record.checksums else "wb") as file:
        file.write(record.header)
        for block in range(len(record.checksums), record.blocks):
            pieces = _observed(particles, record, block, tell)
            found = _put(file, record, block, pieces)
            record = replace(record, checksums=(*record.checksums, found))
            write_record(path, record)
        file.truncate(record.offset(record.count))
    os.replace(part, path)


def _put(file: BinaryIO, record: CopyRecord, block: int, pieces: Iterable[bytes]) -> int:
    """Write a block to the disk and return its checksum."""
    file.seek(record.offset(record.bounds(block)[0]))
    found = checksum(_written(file, pieces))
    file.flush()
    os.fsync(file.fileno())
    return found


def _written(file: BinaryIO, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        file.write(piece)
        yield piece


def _observed(
    particles: Particles, record: CopyRecord, block: int, tell: Callable[[int], None]
) -> Iterator[bytes]:
    """Working coefficients of a block, a batch at a time, as the file holds them."""
    stack, ball = ParticleStack(particles), Ball(record.box // 2 - 1, 2)
    divisor = Calibration(record.sigma, record.contrast, record.score).divisor
    for rows, images in stack.batches(*record.bounds(block)):
        yield _half(observe(cropped(images, record.box), ball, divisor), particles, rows)
        tell(int(rows[-1]) + 1)


def _half(coefficients: Tensor, particles: Particles, rows: Tensor) -> bytes:
    half = coefficients.half()
    wrong = (~half.isfinite()).any(1).nonzero()
    if len(wrong):
        row = int(rows[int(wrong[0])])
        raise ValueError(
            f"{particles.source}, row {row + 1}: image {particles.image_name(row)} is thousands "
            "of times stronger than "
            "its noise; remove this particle or normalise it again."
        )
    return half.numpy().astype("<f2", copy=False).tobytes()
