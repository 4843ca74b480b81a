"""Columns that the user brings: an NPY or CSV file, kept with the run under ``RUN/columns``."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data.row_keys import UIDS, RowKeys
from napari_cryodeco.data.star_rows import IMAGE, split_names
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_header, read_tensors, write_tensors

_IMAGE_NAMES = (IMAGE, f"_{IMAGE}", "image_name", "image name", "image")


@dataclass(frozen=True, eq=False)
class UserColumns:
    """What a file of the user gives for each particle.

    `values` by name, ``(n,)`` float64 or objects (str); `missing` particles that the file does not
    name: NaN or an empty text there; `unknown` rows of the file that no particle has.
    """

    values: dict[str, np.ndarray]
    missing: int = 0
    unknown: int = 0

    @property
    def gaps(self) -> str:
        """One sentence where rows did not meet, else nothing."""
        if not self.missing and not self.unknown:
            return ""
        return (
            f"The file has no values for {self.missing:,} particles, and {self.unknown:,} rows of "
            "no particle."
        )


def read_user_columns(path: Path | str, source: Path, n: int) -> UserColumns:
    """Read columns for the n particles of `source` from ``.npy`` or ``.csv``.

    An array ``(n,)`` is one column, ``(n, c)`` c of them. A CSV file has a header; where it has a
    column ``uid`` or ``rlnImageName`` (also ``image_name``, ``image``), its rows are joined by
    that, in any order; else row i is particle i.

    Raises
    ------
    FileNotFoundError, ValueError
        With one sentence that names file, row and cure.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give a .npy or .csv file of columns.")
    if path.suffix.lower() == ".npy":
        return UserColumns(_read_npy(path, n))
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return _read_csv(path, source, n)
    raise ValueError(f"{path}: columns are read from .npy or .csv files; choose one of these.")


def _read_npy(path: Path, n: int) -> dict[str, np.ndarray]:
    try:
        table = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no .npy file of numbers ({error}): save it again.") from None
    if table.dtype.kind not in "biuf" or table.ndim not in (1, 2):
        raise ValueError(f"{path} holds no columns of numbers: save an array (n,) or (n, columns).")
    _check_length(path, len(table), n)
    if table.ndim == 1:
        return {path.stem: table.astype(np.float64)}
    return {f"{path.stem}[{i}]": table[:, i].astype(np.float64) for i in range(table.shape[1])}


def _check_length(path: Path, found: int, n: int) -> None:
    if found != n:
        raise ValueError(
            f"{path} has {found:,} rows but the run {n:,} particles: give one row a particle, in "
            f"their order, or a CSV file with a column {IMAGE} or uid to join by."
        )


def _read_csv(path: Path, source: Path, n: int) -> UserColumns:
    header, rows = _lines(path)
    key = next((name for name in header if name in (*UIDS, *_IMAGE_NAMES)), None)
    if key is None:
        _check_length(path, len(rows), n)
        places = np.arange(n)
    else:
        given = [row[header.index(key)] for row in rows]
        places = _places(path, source, key, given)
    known = places >= 0
    values = {}
    for column, name in enumerate(header):
        if name != key:
            texts = np.array([row[column].strip() for row in rows], dtype=object)
            values[name] = _spread(texts[known], places[known], n)
    if not values:
        raise ValueError(f"{path} has no column beside {key}: add one with values.")
    return UserColumns(values, n - int(known.sum()), len(rows) - int(known.sum()))


def _lines(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline()
        file.seek(0)
        comma = max(",\t;", key=first.count)
        header, *rows = [row for row in csv.reader(file, delimiter=comma) if row] or [[]]
    header = [name.strip() for name in header]
    if not rows or not all(header) or all(_is_number(name) for name in header):
        raise ValueError(f"{path} needs a first line with the names of its columns, then rows.")
    if len(set(header)) < len(header):
        raise ValueError(f"{path} has two columns of one name: give each its own.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise ValueError(
                f"{path}, row {number} has {len(row)} values for {len(header)} columns: correct it."
            )
    return header, rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _places(path: Path, source: Path, key: str, given: list[str]) -> np.ndarray:
    """Particle of each row of the file ``(m,)``, −1 where there is none."""
    keys = RowKeys(source)
    if key in UIDS:
        uids = keys.uids()
        own = None if uids is None else [str(uid) for uid in uids.tolist()]
        given = [text.strip() for text in given]
    else:
        own, given = _image_keys(keys.images()), _image_keys(split_names(path, given)) or []
    if own is None:
        raise ValueError(f"{path} is to be joined by {key}, which {source} has not: leave it out.")
    place = {name: row for row, name in enumerate(own)}
    first = np.unique(given, return_index=True)[1]
    if len(first) < len(given):
        twice = int(np.setdiff1d(np.arange(len(given)), first)[0])
        raise ValueError(f"{path}, row {twice + 1}: {given[twice]} is named twice; remove one.")
    places = np.array([place.get(name, -1) for name in given], dtype=np.int64)
    if not (places >= 0).any():
        raise ValueError(
            f"{path}: no {key} in it is one of {source} ({given[0]} and {own[0]}, say): is it of "
            "other particles?"
        )
    return places


def _image_keys(images: tuple[list[str], np.ndarray] | None) -> list[str] | None:
    if images is None:
        return None
    names, places = images
    return [f"{place + 1}@{name}" for name, place in zip(names, places.tolist(), strict=True)]


def _spread(texts: np.ndarray, places: np.ndarray, n: int) -> np.ndarray:
    """A column ``(n,)`` with the values at their places."""
    try:
        numbers = np.array([float(text) if text else np.nan for text in texts.tolist()])
    except ValueError:
        column = np.full(n, "", dtype=object)
        column[places] = texts
        return column
    spread = np.full(n, np.nan)
    spread[places] = numbers
    return spread


def bring(path: Path | str, run: Run) -> UserColumns:
    """Read columns for the particles of a run and keep them with it; raises as the reading does."""
    found = read_user_columns(path, run.particles.source, len(run.particles))
    for name, values in found.values.items():
        keep(run.paths.columns, name, values)
    return found


def keep(folder: Path, name: str, values: np.ndarray) -> Path:
    """Write a column ``(n,)`` under its name into `folder`, in place of an older one."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:40] or "column"
    path = folder / f"{plain}-{hashlib.sha1(name.encode()).hexdigest()[:8]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    header: dict[str, object] = {"name": name}
    if values.dtype == object:
        kinds, values = np.unique(values.astype(str), return_inverse=True)
        header["kinds"] = kinds.tolist()
        values = values.astype(np.int32)
    write_tensors(path, {"values": torch.from_numpy(np.ascontiguousarray(values))}, header)
    return path


def kept(folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Names of the columns in `folder`, each with what reads it."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return {read_header(file)["name"]: _Reader(file) for file in files}


@dataclass(frozen=True)
class _Reader:
    path: Path

    def __call__(self) -> np.ndarray:
        tensors, header = read_tensors(self.path)
        values: np.ndarray = tensors["values"].numpy()
        return np.array(header["kinds"], dtype=object)[values] if "kinds" in header else values
