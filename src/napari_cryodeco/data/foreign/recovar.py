"""Result folders of RECOVAR.

``model/zdim_K/latent_coords.npy`` ``(n, K)``; before, ``model/embeddings.pkl``: a dict with
``latent_coords`` or ``zs``, each a dict by K. Rows are in the order of the particle file, up to the
last particle used; those left out are NaN. ``model/particles_halfsets.pkl``: the rows used, in two
arrays. Source: ma-gilles/recovar (recovar/output/output.py, output_paths.py, commands/pipeline.py).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from napari_cryodeco.data.foreign.array_pickle import read_array_pickle
from napari_cryodeco.data.foreign.latents import (
    ForeignLatents,
    checked_latents,
    reading_pickle,
)

_FOLDER = re.compile(r"zdim_(\d+)")
_LATENTS = "latent_coords.npy"
_OLD = "embeddings.pkl"


def is_recovar(path: Path) -> bool:
    """Whether a folder or a file is one of RECOVAR's."""
    if path.is_dir():
        return bool(_choices(path))
    return path.name == _OLD or (
        path.name == _LATENTS and _FOLDER.match(path.parent.name) is not None
    )


def result_files(folder: Path) -> list[Path]:
    """Files of latents in a result folder, by their names alone."""
    model = folder / "model"
    return [*model.glob(f"zdim_*/{_LATENTS}"), *model.glob(_OLD)]


def read_recovar(path: Path, z_dim: int | None = None) -> ForeignLatents:
    """Read the latents of a result folder, of its ``zdim_K``, or a file of latents.

    Raises
    ------
    FileNotFoundError, ValueError
        If there are several lengths of z and none is chosen, or the file holds something else.
    """
    choices = _choices(path) if path.is_dir() else _choices_of_file(path)
    if z_dim is None and len(choices) > 1:
        lengths = ", ".join(map(str, sorted(choices)))
        raise ValueError(
            f"{path} has z of {lengths} numbers: choose one with --z-dim, or give its zdim folder."
        )
    wanted = z_dim if z_dim is not None else next(iter(choices))
    if wanted not in choices:
        lengths = ", ".join(map(str, sorted(choices)))
        raise ValueError(f"{path} has no z of {wanted} numbers: it has {lengths}.")
    file = choices[wanted]
    values = _from_pickle(file, wanted) if file.suffix == ".pkl" else _from_npy(file)
    model = file.parent if file.suffix == ".pkl" else file.parent.parent
    used = np.flatnonzero(np.isfinite(values).all(1))
    notes = [reading_pickle(file)] if file.suffix == ".pkl" else []
    halves, rows = model / "particles_halfsets.pkl", None
    if halves.is_file():
        rows = np.sort(_halves(halves))
        notes.append(reading_pickle(halves))
        if not np.array_equal(rows, used):
            raise ValueError(
                f"{halves} names {len(rows)} particles but {file} has z of {len(used)}: they are "
                "not of one job."
            )
    elif len(used) < len(values):
        rows = used
        notes.append(
            f"{len(values) - len(used)} rows of {file.name} are NaN: RECOVAR left them out."
        )
    chosen = values if rows is None else values[rows]
    return ForeignLatents(
        program="RECOVAR",
        values=checked_latents(chosen, file),
        file=file,
        home=model.parent if model.name == "model" else model,
        particles=_particles(model),
        subset=rows,
        subset_file=halves if halves.is_file() else None,
        notes=tuple(notes),
    )


def _choices(folder: Path) -> dict[int, Path]:
    """Files of latents by the length of z."""
    for place in (folder, folder / "model"):
        found = {
            int(match[1]): file
            for file in sorted(place.glob(f"zdim_*/{_LATENTS}"))
            if (match := _FOLDER.fullmatch(file.parent.name))
        }
        if found:
            return found
        if (place / _OLD).is_file():
            return _choices_of_file(place / _OLD)
    if (folder / _LATENTS).is_file():
        return _choices_of_file(folder / _LATENTS)
    return {}


def _choices_of_file(path: Path) -> dict[int, Path]:
    if path.suffix == ".pkl":
        return dict.fromkeys(_tables(path), path)
    return {_from_npy(path).shape[1]: path}


def _from_npy(path: Path) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no readable .npy file of numbers ({error}).") from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f":
        raise ValueError(f"{path} holds no table of latents: give RECOVAR's own file.")
    return found


def _tables(path: Path) -> dict[int, np.ndarray]:
    found = read_array_pickle(path)
    tables = (found.get("latent_coords") or found.get("zs")) if isinstance(found, dict) else None
    if not isinstance(tables, dict):
        raise ValueError(f"{path} holds no latents of RECOVAR: choose its model/{_OLD}.")
    return {
        key: table
        for key, table in tables.items()
        if isinstance(key, int) and isinstance(table, np.ndarray) and table.ndim == 2
    }


def _from_pickle(path: Path, z_dim: int) -> np.ndarray:
    return _tables(path)[z_dim]


def _halves(path: Path) -> np.ndarray:
    found = read_array_pickle(path)
    parts = [np.asarray(part) for part in found] if isinstance(found, list | tuple) else []
    if len(parts) != 2 or any(part.ndim != 1 or part.dtype.kind not in "iu" for part in parts):
        raise ValueError(f"{path} holds no two halves of row numbers: give RECOVAR's own file.")
    return np.concatenate(parts).astype(np.int64)


def _particles(model: Path) -> Path | None:
    """The particle file, where RECOVAR's record says it (newer versions that binned the images)."""
    record = model.parent / "metadata.json"
    record = record if record.is_file() else model / "metadata.json"
    try:
        named = json.loads(record.read_text(encoding="utf-8")).get("original_particles_file")
    except (OSError, ValueError, AttributeError):
        return None
    return Path(named) if isinstance(named, str) else None
