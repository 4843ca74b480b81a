"""Every column of the user's file, row i being particle i: listed at once, read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_cryodeco.data import cryosparc
from napari_cryodeco.data.document import Block
from napari_cryodeco.data.star_rows import optics_places, particle_block
from napari_cryodeco.data.stored_rows import open_star

_SHARED = 100_000  # different texts of a column that are kept once; beyond, it is a name a row

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class SourceTable:
    """The columns `names` of a STAR or .cs file; nothing of them is in memory before `read`."""

    source: Path
    names: tuple[str, ...]
    _reader: Callable[[Sequence[str]], Values]

    def read(self, names: Iterable[str]) -> Values:
        """Read some columns ``(n,)`` in one pass: int64, uint64 or float64, else objects (str).

        Raises
        ------
        ValueError
            For a name that is not there.
        """
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in self.names]
        if missing:
            raise ValueError(f"{self.source} has no column {missing[0]}.")
        return self._reader(wanted) if wanted else {}


def open_table(source: Path | str) -> SourceTable:
    """List the columns of a STAR file, those of its optics table joined, or of a .cs file.

    A .cs file is joined by uid with the passthrough files beside it; a column of several numbers
    gives one column each, ``alignments3D/shift[0]`` and so on. A stack has no columns.
    """
    source = Path(source)
    suffix = source.suffix.lower()
    if suffix == ".star":
        return _star_table(source)
    return _cs_table(source) if suffix == ".cs" else SourceTable(source, (), lambda names: {})


def columns(source: Path | str) -> Values:
    """Read all columns of a file, as `open_table` lists them."""
    table = open_table(source)
    return table.read(table.names)


def _star_table(source: Path) -> SourceTable:
    document = open_star(source)
    block, optics = particle_block(document), document.block_named("optics")
    shared = [] if optics is None else [name for name in optics.labels if name not in block.labels]

    def read(names: Sequence[str]) -> Values:
        found = _read_block(block, [name for name in names if name in block.labels], source)
        joined = [name for name in names if name in shared]
        if optics is not None and joined:
            places = optics_places(document, block, optics)
            values = optics.columns(joined, source)
            found |= {name: _converted(values[name])[places] for name in joined}
        return {name: found[name] for name in names}

    return SourceTable(source, (*block.labels, *shared), read)


def _read_block(block: Block, names: list[str], source: Path) -> Values:
    """Columns of a loop, chunk by chunk: what is a number never stays as text."""
    numbers: dict[str, list[np.ndarray]] = {name: [] for name in names}
    texts: dict[str, _Texts] = {}
    late: set[str] = set()  # columns that begin with numbers and go on with text
    for start, chunk in block.chunks(names, source) if names else ():
        for name, values in chunk.items():
            if name in texts:
                texts[name].add(values)
            elif (made := _converted(values)).dtype != object:
                numbers[name].append(made)
            elif start == 0:
                texts[name] = _Texts(values)
            else:
                late.add(name)
    again = block.columns(sorted(late), source) if late else {}
    texts |= {name: _Texts(values) for name, values in again.items()}
    return {
        name: texts[name].array() if name in texts else np.concatenate(numbers[name])
        for name in names
    }


class _Texts:
    """A column of text, equal values the same object: a million rows name a few micrographs."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: list[str] = []
        self._known: dict[str, str] = {}
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        known = self._known
        self._values += [known.setdefault(v, v) if len(known) < _SHARED else v for v in values]

    def array(self) -> np.ndarray:
        return np.array(self._values, dtype=object)


def _converted(values: Sequence[str]) -> np.ndarray:
    for kind in (np.int64, np.float64):
        try:
            return np.array(values, dtype=kind)
        except (ValueError, OverflowError):
            continue
    return np.array(values, dtype=object)


def _cs_table(source: Path) -> SourceTable:
    table = cryosparc.load(source, in_place=True)
    joined: list[tuple[np.ndarray, np.ndarray | None]] = [(table, None)]
    if "uid" in (table.dtype.names or ()):
        joined += list(cryosparc.companions(source, table["uid"]))
    places: dict[str, tuple[int, str, int | None]] = {}
    for number, (part, _) in enumerate(joined):
        for field in part.dtype.names or ():
            for name, place in _flat_names(field, part.dtype[field]):
                places.setdefault(name, (number, field, place))

    def read(names: Sequence[str]) -> Values:
        found = {}
        for name in names:
            number, field, place = places[name]
            part, rows = joined[number]
            column = part[field] if place is None else part[field].reshape(len(part), -1)[:, place]
            found[name] = _plain(np.asarray(column if rows is None else column[rows]))
        return found

    return SourceTable(source, tuple(places), read)


def _flat_names(field: str, kind: np.dtype) -> list[tuple[str, int | None]]:
    """Names of the columns that a field makes, each with its place in it."""
    if not kind.shape:
        return [(field, None)]
    if kind.base.kind in "SU":
        return []
    return [(f"{field}[{place}]", place) for place in range(int(np.prod(kind.shape)))]


def _plain(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind in "SU":
        return _Texts(cryosparc.text(column)).array()
    return np.array(column) if column.dtype.kind in "iu" else column.astype(np.float64)
