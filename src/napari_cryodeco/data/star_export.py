"""Write STAR files: the user's own rows of one, or a new one for particles of another format.

Files are written as they come; `explore.subset` gives them their name when they read back right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data.document import Block, StarDocument
from napari_cryodeco.data.locate import find_real
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.star import ANGLES, ORIGINS_ANGST, ORIGINS_PIXELS
from napari_cryodeco.data.star_rows import GROUP, IMAGE, image_names, particle_block
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import matrix_to_euler

Columns = Mapping[str, np.ndarray]


def pose_columns(poses: Poses) -> dict[str, np.ndarray]:
    """Return rotations and shifts as RELION columns: Euler angles in degrees, origins in Å."""
    angles = torch.rad2deg(matrix_to_euler(poses.rotations.double())).numpy()
    columns = {label: angles[:, axis] for axis, label in enumerate(ANGLES)}
    return columns | {
        label: poses.shifts[:, axis].double().numpy() for axis, label in enumerate(ORIGINS_ANGST)
    }


def write_rows(
    particles: Particles, rows: np.ndarray, out: Path, columns: Columns | None = None
) -> None:
    """Write rows ``(m,)`` of the user's STAR file `particles.source`, all columns and optics kept.

    An image name that leads from `out` to the same stack as before (absolute, or found beside
    `out` or up its parents) stays as the user wrote it; any other is written with the absolute
    path of its stack.

    Parameters
    ----------
    particles
        All particles of the file, row i being particle i.
    rows
        Row numbers from 0, in the order of writing.
    out
        New STAR file.
    columns
        ``rln`` columns to set on the written rows, ``(m,)`` each. Origins in Å become pixels in a
        file of RELION 3.0.

    Raises
    ------
    ValueError
        If the file has changed since it was read or a row is not in it.
    """
    document = StarDocument.read(particles.source)
    block = particle_block(document)
    if len(block) != len(particles):
        raise ValueError(
            f"{particles.source} has {len(block)} rows now but {len(particles)} were read; "
            "restore the original file."
        )
    check_rows(particles, rows)
    values = {
        label: formatted(column)
        for label, column in _in_file_units(document, particles, columns or {}).items()
    }
    moved = _moved_names(particles, rows, document, block, out)
    if moved is not None and IMAGE not in values:
        values[IMAGE] = moved
    _write_lines(out, document.with_rows(block, rows, values))


def check_rows(particles: Particles, rows: np.ndarray) -> None:
    """Raise ValueError if `rows` is empty or names a row that is not there."""
    if len(rows) == 0:
        raise ValueError(f"No particle of {particles.source} is selected: select at least one.")
    if rows.min() < 0 or rows.max() >= len(particles):
        wrong = int(rows.max() if rows.max() >= len(particles) else rows.min())
        raise ValueError(
            f"{particles.source} has rows 0 to {len(particles) - 1}, not {wrong}; check the row "
            "numbers."
        )


def _in_file_units(
    document: StarDocument, particles: Particles, columns: Columns
) -> dict[str, np.ndarray]:
    if document.block_named("optics") is not None:
        return dict(columns)
    pixels = dict(zip(ORIGINS_ANGST, ORIGINS_PIXELS, strict=True))
    return {
        pixels.get(label, label): np.asarray(column) / particles.pixel_size
        if label in pixels
        else np.asarray(column)
        for label, column in columns.items()
    }


def _moved_names(
    particles: Particles, rows: np.ndarray, document: StarDocument, block: Block, out: Path
) -> list[str] | None:
    """Image names that are valid from `out`, None if those of the user all are."""
    names, _ = image_names(document, block.take(rows))
    leads = find_real(names, Path(out).absolute())
    stacks = particles.real_stacks(torch.from_numpy(rows))
    stay = [leads[name] == stack for name, stack in zip(names, stacks, strict=True)]
    if all(stay):
        return None
    original = block.take(rows).columns([IMAGE], document.path)[IMAGE]
    return [
        _quoted(name if kept else _relion_name(particles, row))
        for row, name, kept in zip(rows.tolist(), original, stay, strict=True)
    ]


def _relion_name(particles: Particles, row: int) -> str:
    name = particles.image_name(row)
    return f"{name}:mrcs" if name.endswith(".mrc") else name  # RELION takes a bare .mrc for one map


def write_particles(
    particles: Particles, rows: np.ndarray, out: Path, columns: Columns | None = None
) -> None:
    """Write a RELION 3.1 STAR file for rows ``(m,)`` of any particles, with absolute stack paths.

    Optics groups are the distinct voltages, spherical aberrations and amplitude contrasts. Poses
    are written where there are any; `columns` are set on top.
    """
    check_rows(particles, rows)
    index = torch.from_numpy(rows)
    ctf = particles.ctf[index]
    optics, group = np.unique(
        torch.stack([ctf.voltage, ctf.cs, ctf.amplitude], 1).double().numpy().round(6),
        axis=0,
        return_inverse=True,
    )
    table: dict[str, np.ndarray] = {
        IMAGE: np.array([_relion_name(particles, row) for row in rows.tolist()], dtype=object),
        GROUP: group.reshape(-1) + 1,
        "rlnDefocusU": ctf.defocus_u.double().numpy(),
        "rlnDefocusV": ctf.defocus_v.double().numpy(),
        "rlnDefocusAngle": torch.rad2deg(ctf.angle.double()).numpy(),
        "rlnPhaseShift": torch.rad2deg(ctf.phase.double()).numpy(),
    }
    if particles.poses is not None:
        table |= pose_columns(particles.poses[index])
    _write_lines(out, _new_file(_optics(optics, particles), table | dict(columns or {})))


def _optics(optics: np.ndarray, particles: Particles) -> dict[str, np.ndarray]:
    groups = np.arange(1, len(optics) + 1)
    return {
        GROUP: groups,
        "rlnOpticsGroupName": np.array([f"opticsGroup{group}" for group in groups], dtype=object),
        "rlnVoltage": optics[:, 0],
        "rlnSphericalAberration": optics[:, 1],
        "rlnAmplitudeContrast": optics[:, 2],
        "rlnImagePixelSize": np.full(len(groups), particles.pixel_size),
        "rlnImageSize": np.full(len(groups), particles.box),
        "rlnImageDimensionality": np.full(len(groups), 2),
    }


def _new_file(optics: Columns, table: Columns) -> Iterable[str]:
    for name, columns in (("optics", optics), ("particles", table)):
        yield from ("", "# version 30001", "", f"data_{name}", "", "loop_")
        yield from (f"_{label} #{place}" for place, label in enumerate(columns, 1))
        yield from map(
            " ".join,
            zip(*(formatted(np.asarray(column)) for column in columns.values()), strict=True),
        )
        yield ""


def formatted(column: np.ndarray) -> list[str]:
    """Return values ``(m,)`` as RELION writes them: six decimals, text with spaces in quotes."""
    column = np.asarray(column)
    if column.dtype.kind == "f":
        return [f"{value:.6f}" for value in column.tolist()]
    return [_quoted(str(value)) for value in column.tolist()]


def _quoted(text: str) -> str:
    return f'"{text}"' if not text or any(character.isspace() for character in text) else text


def _write_lines(out: Path, lines: Iterable[str]) -> None:
    with out.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        text = iter(lines)
        file.write(next(text))
        file.writelines("\n" + line for line in text)
