"""Every column of the user's file, to colour particles by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_cryodeco.data import cryosparc
from napari_cryodeco.data.document import StarDocument
from napari_cryodeco.data.star_rows import particle_block


def columns(source: Path | str) -> dict[str, np.ndarray]:
    """Read all columns ``(n,)`` of a STAR or .cs file, row i being particle i (none of a stack).

    Numbers are int64 or float64, all else is an object array of str. A .cs column of several
    numbers gives one column each, ``alignments3D/shift[0]`` and so on.
    """
    source = Path(source)
    suffix = source.suffix.lower()
    if suffix == ".star":
        document = StarDocument.read(source)
        block = particle_block(document)
        return {
            label: _converted(values)
            for label, values in block.columns(block.labels, source).items()
        }
    if suffix == ".cs":
        found: dict[str, np.ndarray] = {}
        for name, column in cryosparc.columns(source).items():
            found |= _flat(name, column)
        return found
    return {}


def _converted(values: Sequence[str]) -> np.ndarray:
    for kind in (np.int64, np.float64):
        try:
            return np.array(values, dtype=kind)
        except (ValueError, OverflowError):
            continue
    return np.array(values, dtype=object)


def _flat(name: str, column: np.ndarray) -> dict[str, np.ndarray]:
    if column.dtype.kind in "SU":
        return {name: np.array(cryosparc.text(column), dtype=object)} if column.ndim == 1 else {}
    if column.ndim == 1:
        return {name: column if column.dtype.kind in "iu" else column.astype(np.float64)}
    flat = column.reshape(len(column), -1)
    return {f"{name}[{place}]": flat[:, place].astype(np.float64) for place in range(flat.shape[1])}
