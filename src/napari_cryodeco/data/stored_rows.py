"""A STAR file whose long tables stay on disk: values are read column by column.

A million rows of text take a gigabyte as a list of lines. Here only the place of every 16,384th
row is kept, so a column costs one pass through the file and the memory of its own values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from napari_cryodeco.data.document import CHUNK, Block, StarDocument, parse_block


class StoredRows(Sequence[str]):
    """Rows of one loop, read where they lie; slices that begin at a chunk are read in one go.

    Parameters
    ----------
    path
        The file.
    places
        Byte at which each chunk of 16,384 rows begins.
    count
        Number of rows.
    """

    def __init__(self, path: Path, places: list[int], count: int) -> None:
        self.path, self._places, self._count = path, places, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: Any) -> Any:
        """Return one row, or a list of them for a slice of step one."""
        if not isinstance(which, slice):
            return self[which : which + 1][0]
        start, stop, _ = which.indices(self._count)
        if start >= stop:
            return []
        chunk, ahead = divmod(start, CHUNK)
        with self.path.open("rb") as file:
            file.seek(self._places[chunk])
            rows = (line for line in file if _is_row(line))
            lines = list(islice(rows, ahead, ahead + stop - start))
        return b"".join(lines).decode("utf-8", "surrogateescape").split("\n")[: len(lines)]


def open_star(path: Path) -> StarDocument:
    """Open a STAR file to read values from: rows of its loops stay on disk.

    Nothing can be written from it (`with_rows`): that needs the file as a whole.

    Raises
    ------
    FileNotFoundError, ValueError
        As :meth:`StarDocument.read`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: check the path of the STAR file.")
    blocks: list[Block] = []
    head: list[str] = []  # lines of a block up to its first row
    number = 0
    with path.open("rb") as file:
        while line := file.readline():
            if line.startswith(b"data_"):
                blocks += _without_rows(head)
                head = [_text(line)]
            elif head and _begins_rows(line, head):
                places, count, lines = _scan(file, line)
                rows, at = StoredRows(path, places, count), range(number, number + count)
                blocks.append(replace(parse_block(head, 0, len(head)), rows=rows, row_lines=at))
                head, number = [], number + lines - 1
            elif head:
                head.append(_text(line))
            number += 1
    blocks += _without_rows(head)
    if not blocks:
        raise ValueError(f"{path} is empty or no STAR file: choose a STAR file of particles.")
    return StarDocument(path, [], tuple(blocks))


def _without_rows(head: list[str]) -> list[Block]:
    """A block of label-value pairs, or an empty loop; none before the first block."""
    return [parse_block(head, 0, len(head))] if head else []


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _is_row(line: bytes) -> bool:
    return not line.startswith(b"#") and bool(line.strip())


def _begins_rows(line: bytes, head: list[str]) -> bool:
    """Whether a line is the first row of the loop whose head was read."""
    if not _is_row(line) or line.startswith((b"_", b"loop_")):
        return False
    return any(before.startswith("loop_") for before in head)


def _scan(file: BinaryIO, first: bytes) -> tuple[list[int], int, int]:
    """Places of the chunks, numbers of rows and of lines; `file` is left before the next block."""
    place = file.tell() - len(first)
    places: list[int] = []
    count, lines, line = 0, 0, first
    while line and not line.startswith(b"data_"):
        if _is_row(line):
            if count % CHUNK == 0:
                places.append(place)
            count += 1
        place, lines = place + len(line), lines + 1
        line = file.readline()
    file.seek(place)
    return places, count, lines
