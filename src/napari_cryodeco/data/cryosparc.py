"""Read and write cryoSPARC .cs files: structured arrays, no pickle (algorithm.md §1, §6.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data.images import check_box, common_pixel_size, index_images
from napari_cryodeco.data.particles import Contrast, Particles
from napari_cryodeco.data.star_export import check_rows
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import rotvec_to_matrix

_IMAGES = ("blob/path", "blob/idx", "blob/psize_A")
_CTF = (
    "ctf/df1_A",
    "ctf/df2_A",
    "ctf/df_angle_rad",
    "ctf/accel_kv",
    "ctf/cs_mm",
    "ctf/amp_contrast",
)
_CLASS = re.compile(r"alignments_class_\d+(?=/pose$)")
_MULTI = "alignments3D_multi"  # heterogeneous refinement: a pose in each class, (n, K, 3)
Table = Mapping[str, np.ndarray]


def load(path: Path, in_place: bool = False) -> np.ndarray:
    """Read a .cs file as a structured array ``(n,)``; `in_place`: its values stay on disk.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is missing, no .cs file, of an old pickled kind, or empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: check the path of the .cs file.")
    try:
        table = np.load(path, mmap_mode="r" if in_place else None, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is no readable .cs file ({error}): export the particles from cryoSPARC again."
        ) from None
    if not isinstance(table, np.ndarray) or table.dtype.names is None or table.ndim != 1:
        raise ValueError(
            f"{path} is no table of cryoSPARC: choose the particles .cs file of a job."
        )
    if len(table) == 0:
        raise ValueError(f"{path} is empty: choose a .cs file with particles.")
    return table


def columns(path: Path) -> dict[str, np.ndarray]:
    """Read all columns of a .cs file, and by uid those of the passthrough files beside it."""
    table = load(path)
    found = {name: table[name] for name in table.dtype.names or ()}
    if "uid" not in found or (_has(found, _IMAGES + _CTF) and _pose_prefix(found)):
        return found
    for other, rows in companions(path, found["uid"]):
        names = other.dtype.names or ()
        found |= {name: other[name][rows] for name in names if name not in found}
    return found


def companions(path: Path, uids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Passthrough tables beside a .cs file, on disk, and their rows ``(n,)`` that hold `uids`."""
    for companion in sorted(path.parent.glob("*passthrough*.cs")):
        other = load(companion, in_place=True)
        if companion == path or "uid" not in (other.dtype.names or ()):
            continue
        rows = match(uids, other["uid"])
        if rows is not None:
            yield other, rows


def match(uids: np.ndarray, others: np.ndarray) -> np.ndarray | None:
    """Rows of `others` that hold `uids` ``(n,)``, in their order, or None unless all are there."""
    order = np.argsort(others, kind="stable")
    place = np.searchsorted(others, uids, sorter=order).clip(max=len(others) - 1)
    rows = order[place]
    return rows if np.array_equal(others[rows], uids) else None


def _has(table: Table, names: tuple[str, ...]) -> bool:
    return all(name in table for name in names)


def read(path: Path, datadir: Path | None = None) -> Particles:
    """Read the particles of a .cs file and check that their images are there.

    Raises
    ------
    FileNotFoundError, ValueError
        With one sentence that names file, row and cure.
    """
    table = columns(path)
    _require(
        path,
        table,
        _IMAGES,
        "choose the particles .cs file of an extraction, selection or refinement job",
    )
    _require(
        path,
        table,
        _CTF,
        "estimate the CTF in cryoSPARC, or put the job's passthrough .cs file beside it",
    )
    stack_names = [name.lstrip(">") for name in text(table["blob/path"])]
    images = index_images(path, stack_names, table["blob/idx"].astype(np.int64), datadir)
    pixel_size = common_pixel_size(path, table["blob/psize_A"].astype(np.float64))
    if "blob/shape" in table:
        check_box(path, table["blob/shape"][:, 0].astype(np.int64), images.box)
    for name in _CTF:
        _require_finite(path, name, table[name])
    return Particles(
        source=path,
        stacks=images.stacks,
        stack_of=torch.from_numpy(images.stack_of),
        slice_of=torch.from_numpy(images.slice_of),
        ctf=_ctf(table),
        poses=_poses(path, table, pixel_size),
        box=images.box,
        pixel_size=pixel_size,
        contrast=_contrast(path, table),
    )


def _require(path: Path, table: Table, names: tuple[str, ...], cure: str) -> None:
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}: {cure}.")


def _require_finite(path: Path, name: str, values: np.ndarray) -> None:
    wrong = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))
    if len(wrong):
        raise ValueError(
            f"{path}, row {int(wrong[0]) + 1}: {name} is no finite number; remove this particle."
        )


def text(column: np.ndarray) -> list[str]:
    """Return a column of bytes or text as a list of str."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in column.tolist()]


def _ctf(table: Table) -> Ctf:
    u, v, angle, voltage, cs, amplitude = (
        torch.from_numpy(table[name].astype(np.float32)) for name in _CTF
    )
    phase = table.get("ctf/phase_shift_rad", np.zeros(len(u)))
    return Ctf(u, v, angle, voltage, cs, amplitude, torch.from_numpy(phase.astype(np.float32)))


def _pose_prefix(table: Table) -> list[str]:
    if "alignments3D/pose" in table:
        return ["alignments3D"]
    return sorted(match.group() for name in table if (match := _CLASS.match(name)))


def _likeliest(table: Table) -> Table:
    """The table with the pose in the likeliest class, where only a pose in each is given."""
    posterior = table.get(f"{_MULTI}/class_posterior")
    if posterior is None or f"{_MULTI}/pose" not in table or _pose_prefix(table):
        return table
    chosen = np.arange(len(posterior)), posterior.argmax(1)
    found = {name: table.get(f"{_MULTI}/{name}") for name in ("pose", "shift", "psize_A")}
    return dict(table) | {
        f"alignments3D/{name}": column[chosen] if column.ndim > 1 else column
        for name, column in found.items()
        if column is not None
    }


def _poses(path: Path, table: Table, pixel_size: float) -> Poses | None:
    table = _likeliest(table)
    prefixes = _pose_prefix(table)
    if len(prefixes) > 1 and not _has(
        table, tuple(f"{prefix}/class_posterior" for prefix in prefixes)
    ):
        return None
    if not prefixes:
        return None
    best = np.zeros(len(table["blob/idx"]), dtype=np.int64)
    if len(prefixes) > 1:  # an ab-initio job of several classes: the pose in the likeliest one
        best = np.stack([table[f"{prefix}/class_posterior"] for prefix in prefixes]).argmax(0)
    pose, shift = (_of_best(table, prefixes, best, name) for name in ("pose", "shift"))
    for name, values in (("pose", pose), ("shift", shift)):
        _require_finite(path, f"{prefixes[0]}/{name}", values)
    if not pose.any():
        return None
    size = np.full(len(best), pixel_size)
    if all(
        f"{prefix}/psize_A" in table for prefix in prefixes
    ):  # of the job that aligned, which may be binned
        size = _of_best(table, prefixes, best, "psize_A")
    rotations = rotvec_to_matrix(torch.from_numpy(pose)).transpose(-1, -2).float()
    return Poses(rotations.contiguous(), torch.from_numpy(shift * size[:, None]).float())


def _of_best(table: Table, prefixes: list[str], best: np.ndarray, name: str) -> np.ndarray:
    classes = np.stack([table[f"{prefix}/{name}"] for prefix in prefixes]).astype(np.float64)
    return classes[best, np.arange(len(best))]


def _contrast(path: Path, table: Table) -> Contrast | None:
    if "blob/sign" not in table:
        return None
    dark = table["blob/sign"] < 0
    if dark.any() and not dark.all():
        raise ValueError(
            f"{path}, row {int(np.flatnonzero(dark != dark[0])[0]) + 1}: light and dark particles "
            "are mixed (blob/sign); "
            "extract them again with one contrast."
        )
    return "dark" if dark[0] else "light"


def write_rows(particles: Particles, rows: np.ndarray, out: Path) -> None:
    """Write rows `rows` ``(m,)`` of the user's .cs file, all columns and uids unchanged."""
    table = load(particles.source)
    if len(table) != len(particles):
        raise ValueError(
            f"{particles.source} has {len(table)} rows now but {len(particles)} were read; "
            "restore the original file."
        )
    check_rows(particles, rows)
    with out.open("wb") as file:
        np.save(file, table[rows], allow_pickle=False)


def write_columns(path: Path, rows: np.ndarray, out: Path) -> None:
    """Write rows ``(m,)`` of a .cs file with all its columns, those of passthrough files too."""
    table = {name: column[rows] for name, column in columns(path).items()}
    written = np.empty(
        len(rows), [(name, column.dtype, column.shape[1:]) for name, column in table.items()]
    )
    for name, column in table.items():
        written[name] = column
    with out.open("wb") as file:
        np.save(file, written, allow_pickle=False)


def relion_columns(path: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return micrograph names and coordinates of rows ``(m,)`` as RELION columns, where known."""
    table = columns(path)
    if "location/micrograph_path" not in table:
        return {}
    names = [name.lstrip(">") for name in text(table["location/micrograph_path"][rows])]
    found = {"rlnMicrographName": np.array(names, dtype=object)}
    centre = ("location/center_x_frac", "location/center_y_frac", "location/micrograph_shape")
    if _has(table, centre):
        x, y, shape = (table[name][rows] for name in centre)
        found["rlnCoordinateX"] = (x * shape[:, 1]).astype(np.float64)
        found["rlnCoordinateY"] = ((1 - y) * shape[:, 0]).astype(
            np.float64
        )  # cryoSPARC counts from the bottom
    return found
