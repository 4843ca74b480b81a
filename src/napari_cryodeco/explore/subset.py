"""Write a subset of the particles as rows of the user's own file, read it back and count it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.atomic import refuse_existing, replacing
from napari_cryodeco.data import cryosparc, star_export, star_rows
from napari_cryodeco.data.document import StarDocument
from napari_cryodeco.data.locate import find_real
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack import Progress, has_half_floats, write_float32_copy

Columns = Mapping[str, np.ndarray]
_JOB_FILES = ("job.star", "run.job", "job_pipeline.star", "job.json")
HALF_FLOATS = (
    "The images are 16-bit floats (MRC mode 12): RELION 4 or later reads them, RELION 3.1 does "
    "not; "
    "export with a float32 copy of the images for that."
)
DARK = "The images are dark on light, RELION wants light on dark: invert them there before use."


@dataclass(frozen=True)
class Written:
    """A file that was written and read back, its `count` of particles, `warnings` for the user."""

    path: Path
    count: int
    warnings: tuple[str, ...] = ()


def write(
    rows: np.ndarray,
    particles: Particles,
    out: Path | str,
    columns: Columns | None = None,
    overwrite: bool = False,
) -> Written:
    """Write a subset by the suffix of `out`, read it back and count it.

    ``.star`` from a STAR file: the user's own rows, all columns and optics kept. ``.star`` from a
    .cs file or a bare stack: a RELION 3.1 file. ``.cs`` from a .cs file: the same columns and
    uids. ``.txt``: row numbers from 0.

    Parameters
    ----------
    rows
        ``(m,)`` rows from 0, written in ascending order; `columns` belong to them in the order
        given.
    particles
        All particles of the source.
    out
        New file, in no job folder of RELION or cryoSPARC.
    columns
        ``rln`` columns to set, ``(m,)`` each (STAR only).
    overwrite
        Whether a file of this name may be replaced; the user's own file never is.

    Raises
    ------
    FileExistsError, PermissionError, ValueError
        With one sentence that names the cure.
    """
    out = Path(out).absolute()
    rows, columns = _ordered(rows, columns or {}, particles)
    _refuse(out, particles, overwrite)
    stacks = particles.real_stacks(torch.from_numpy(rows))
    images = list(zip(stacks, particles.slice_of[torch.from_numpy(rows)].tolist(), strict=True))
    return _write(rows, particles, out, columns, images)


def write_with_images(
    rows: np.ndarray,
    particles: Particles,
    out: Path | str,
    columns: Columns | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Write a STAR subset and, beside it, a float32 copy of its images for RELION 3.1."""
    out = Path(out).absolute()
    if out.suffix.lower() != ".star":
        raise ValueError(f"{out}: images are copied along with a .star file; choose such a name.")
    rows, columns = _ordered(rows, columns or {}, particles)
    stack = out.with_suffix(".mrcs")
    _refuse(stack, particles, overwrite)
    _refuse(out, particles, overwrite)
    write_float32_copy(particles, rows, stack, progress)
    names = np.array([f"{place + 1:06d}@{stack.name}" for place in range(len(rows))], dtype=object)
    written = _write(
        rows,
        particles,
        out,
        {**columns, star_rows.IMAGE: names},
        [(stack.resolve(), place) for place in range(len(rows))],
    )
    return replace(
        written, warnings=tuple(text for text in written.warnings if text != HALF_FLOATS)
    )


def read_rows(path: Path | str, n: int) -> np.ndarray:
    """Read row numbers from 0 (a line each, or ``.npy``) as ``(m,)`` int64, sorted and distinct.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, holds anything but whole numbers, or a row that n particles have
        not.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give a file of row numbers.")
    try:
        found = (
            np.load(path, allow_pickle=False)
            if path.suffix == ".npy"
            else np.loadtxt(path, np.int64, ndmin=1)
        )
    except ValueError as error:
        raise ValueError(
            f"{path} holds no row numbers ({error}): write one whole number a line, from 0."
        ) from None
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise ValueError(f"{path} holds no row numbers: write one whole number a line, from 0.")
    beyond = found[(found < 0) | (found >= n)]
    if len(beyond):
        raise ValueError(
            f"{path} names row {int(beyond[0])}, but the rows are 0 to {n - 1}; check the row "
            "numbers."
        )
    return np.unique(found.astype(np.int64))


def _ordered(
    rows: np.ndarray, columns: Columns, particles: Particles
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rows = np.asarray(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(f"Rows are whole numbers (m,), not {rows.dtype} {rows.shape}.")
    star_export.check_rows(particles, rows)
    if any(len(column) != len(rows) for column in columns.values()):
        raise ValueError(f"Columns to write must have {len(rows)} values, one for each row.")
    rows, first = np.unique(rows.astype(np.int64), return_index=True)
    return rows, {label: np.asarray(column)[first] for label, column in columns.items()}


def _refuse(out: Path, particles: Particles, overwrite: bool) -> None:
    own = {path.resolve() for path in (particles.source, *particles.stacks)}
    if out.resolve() in own:
        raise ValueError(
            f"{out} is your own file of particles and is never replaced: choose another name."
        )
    for folder in out.parents:
        if any((folder / name).is_file() for name in _JOB_FILES):
            raise ValueError(
                f"{out} lies in {folder}, the folder of a job: choose a folder outside of it."
            )
    refuse_existing(out, overwrite)


def _write(
    rows: np.ndarray,
    particles: Particles,
    out: Path,
    columns: Columns,
    images: list[tuple[Path, int]],
) -> Written:
    kind, source_kind = out.suffix.lower(), particles.source.suffix.lower()
    if kind not in (".star", ".cs", ".txt"):
        raise ValueError(f"{out}: a subset is written as .star, .cs or .txt; choose one of these.")
    if columns and kind != ".star":
        raise ValueError(
            f"{out}: poses and classes are written to .star files only; choose such a name."
        )
    if kind == ".cs" and source_kind != ".cs":
        raise ValueError(
            f"{out}: a .cs file is written from a .cs file only; choose .star for "
            f"{particles.source.name}."
        )
    with replacing(out) as part:
        if kind == ".txt":
            part.write_text("".join(f"{row}\n" for row in rows.tolist()), encoding="ascii")
            same = np.array_equal(read_rows(part, len(particles)), rows)
        elif kind == ".cs":
            cryosparc.write_rows(particles, rows, part)
            original = cryosparc.load(particles.source)[rows]
            same = cryosparc.load(part).tobytes() == original.tobytes()
        else:
            _write_star(rows, particles, part, columns)
            same = _images_of(part) == images
        if not same:
            raise OSError(
                f"{out}: what was written does not read back as the selection; is the disk sound? "
                "Try again."
            )
    return Written(out, len(rows), _warnings(particles, rows) if kind == ".star" else ())


def _write_star(rows: np.ndarray, particles: Particles, out: Path, columns: Columns) -> None:
    kind = particles.source.suffix.lower()
    if kind == ".star":
        star_export.write_rows(particles, rows, out, columns)
    else:
        known = cryosparc.relion_columns(particles.source, rows) if kind == ".cs" else {}
        star_export.write_particles(particles, rows, out, {**known, **columns})


def _images_of(path: Path) -> list[tuple[Path | None, int]]:
    document = StarDocument.read(path)
    names, places = star_rows.image_names(document, star_rows.particle_block(document))
    leads = find_real(names, path)
    return [(leads[name], place) for name, place in zip(names, places.tolist(), strict=True)]


def _warnings(particles: Particles, rows: np.ndarray) -> tuple[str, ...]:
    half = (HALF_FLOATS,) if has_half_floats(particles, torch.from_numpy(rows)) else ()
    return (*half, DARK) if particles.contrast == "dark" else half
