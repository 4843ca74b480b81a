"""A STAR file as text: values can be read, and rows taken out without changing a character of them.

Source: STAR as RELION writes it (blocks of a loop, or of label-value pairs; no multi-line values).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

_TOKEN = re.compile(r""""[^"]*"(?=\s|$)|'[^']*'(?=\s|$)|\S+""")
CHUNK = 16384  # rows that are taken apart together
_END = "\0"
_MARK = f" {_END} "


def tokens(line: str) -> list[str]:
    """Split a row into its values, quotes kept."""
    return _TOKEN.findall(line) if '"' in line or "'" in line else line.split()


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


@dataclass(frozen=True)
class Block:
    """One ``data_`` block at the lines ``[start, end)``: labels without underscore, rows as text.

    `label_lines` and `row_lines` are line numbers from 0; a block of label-value pairs has one row
    and no row lines.
    """

    name: str
    start: int
    end: int
    labels: tuple[str, ...]
    label_lines: tuple[int, ...]
    rows: Sequence[str]
    row_lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(
        self, labels: Iterable[str], path: Path
    ) -> Iterator[tuple[int, dict[str, list[str]]]]:
        """Read the values of `labels` as text, some rows at a time: ``(first row, columns)``.

        Raises
        ------
        ValueError
            If a row has not as many values as there are labels.
        """
        places = {label: self.labels.index(label) for label in labels}
        width = len(self.labels) + 1
        for start in range(0, len(self.rows), CHUNK):
            flat = self._flat(start, path)
            yield start, {label: flat[place::width] for label, place in places.items()}

    def columns(self, labels: Iterable[str], path: Path) -> dict[str, list[str]]:
        """Read the values of `labels` as text, one list of all rows a label."""
        columns: dict[str, list[str]] = {label: [] for label in labels}
        for _, chunk in self.chunks(columns, path):
            for label, values in chunk.items():
                columns[label].extend(values)
        return columns

    def take(self, rows: np.ndarray) -> Block:
        """Return the block with only `rows` ``(m,)``."""
        some = rows.tolist()
        lines = [self.row_lines[row] for row in some] if self.row_lines else ()
        return replace(self, rows=[self.rows[row] for row in some], row_lines=lines)

    def _flat(self, start: int, path: Path) -> list[str]:
        """Values of a chunk of rows one after the other; a mark that no value is ends each row."""
        rows = self.rows[start : start + CHUNK]
        width = len(self.labels)
        text = _MARK.join(rows)
        if '"' not in text and "'" not in text:
            flat = [*text.split(), _END]
            ends = flat[width :: width + 1]
            if len(flat) == len(rows) * (width + 1) and ends.count(_END) == len(rows):
                return flat
        flat = []
        for row, line in enumerate(rows, start):
            values = tokens(line)
            if len(values) != width:
                number = self.row_lines[row] if self.row_lines else self.start
                raise ValueError(
                    f"{path}, row {row + 1} (line {number + 1}) has {len(values)} "
                    f"values for {width} columns: is the file cut off? Export it again."
                )
            flat += [*map(_unquoted, values), _END]
        return flat


@dataclass(frozen=True)
class StarDocument:
    """The lines of a STAR file and its blocks."""

    path: Path
    lines: list[str]
    blocks: tuple[Block, ...]

    @classmethod
    def read(cls, path: Path) -> StarDocument:
        """Read a STAR file.

        Raises
        ------
        FileNotFoundError
            If it is missing.
        ValueError
            If it holds no STAR block.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: check the path of the STAR file.")
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().split("\n")
        starts = [number for number, line in enumerate(lines) if line.startswith("data_")]
        if not starts:
            raise ValueError(f"{path} is empty or no STAR file: choose a STAR file of particles.")
        ends = [*starts[1:], len(lines)]
        return cls(
            path,
            lines,
            tuple(parse_block(lines, *bounds) for bounds in zip(starts, ends, strict=True)),
        )

    def block_with(self, label: str) -> Block | None:
        """Return the first block that has this label."""
        return next((block for block in self.blocks if label in block.labels), None)

    def block_named(self, name: str) -> Block | None:
        """Return the block ``data_name``."""
        return next((block for block in self.blocks if block.name == name), None)

    def with_rows(
        self, block: Block, rows: np.ndarray, columns: Mapping[str, Sequence[str]]
    ) -> Iterator[str]:
        """Lines of this file with only `rows` ``(m,)`` of a loop, in their order.

        `columns` sets values (text, one for each of `rows`); labels that the loop lacks are added.
        Everything else, other blocks and comments above the loop included, stays as it is.
        """
        added = [label for label in columns if label not in block.labels]
        last_label = block.label_lines[-1]
        yield from self.lines[: last_label + 1]
        for place, label in enumerate(added, len(block.labels) + 1):
            yield f"_{label} #{place}"
        yield from self.lines[last_label + 1 : block.row_lines[0]]
        places = [block.labels.index(label) for label in columns if label in block.labels]
        known = [columns[label] for label in columns if label in block.labels]
        new = [columns[label] for label in added]
        for number, row in enumerate(rows.tolist()):
            line = block.rows[row]
            if known:
                values = tokens(line)
                for place, column in zip(places, known, strict=True):
                    values[place] = column[number]
                line = " ".join(values)
            yield " ".join([line.rstrip(), *(column[number] for column in new)]) if new else line
        yield from self.lines[block.row_lines[-1] + 1 :]


def parse_block(lines: list[str], start: int, end: int) -> Block:
    """Read the block of the lines ``[start, end)``, the first of which is its ``data_``."""
    name = lines[start].split()[0].removeprefix("data_")
    labels: list[str] = []
    label_lines: list[int] = []
    values: list[str] = []
    row_lines: list[int] = []
    loop = False
    for number in range(start + 1, end):
        line = lines[number]
        first = line[:1]
        if first == "_" and not row_lines:
            words = tokens(line)
            labels.append(words[0][1:])
            label_lines.append(number)
            values.extend(words[1:2])
        elif first == "l" and line.startswith("loop_") and not labels:
            loop = True
        elif first != "#" and line.strip():
            row_lines.append(number)
    rows = [lines[number] for number in row_lines] if loop else [" ".join(values)] if labels else []
    return Block(
        name, start, end, tuple(labels), tuple(label_lines), rows, row_lines if loop else ()
    )
