"""Rows of a large file, each read where it lies.

No memory map: where a file is larger than memory, touching a row of a map reads its surroundings
too (470 kB for a row of 26 kB, 300 rows/s; read as here 30 kB and 3,000 rows/s:
benchmarks/row_reading.py), and pages of a map count as memory of the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

_THREADS = 4  # a disk answers several questions at once
_FEW = 16  # pieces that are read without them


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="read")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_readers.cache_clear)  # threads do not live on in a fork


class RowFile:
    """Rows of `width` numbers each, one after the other from byte `offset` on.

    Parameters
    ----------
    path
        The file; it stays open as long as this lives.
    dtype
        Of the numbers, either byte order.
    offset
        Byte at which row 0 begins.
    width
        Numbers in a row.
    """

    def __init__(self, path: Path, dtype: np.dtype, offset: int, width: int) -> None:
        self.path, self.dtype, self.offset, self.width = path, np.dtype(dtype), offset, width
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if (handle := getattr(self, "_handle", -1)) >= 0:
            os.close(handle)

    def read(self, rows: np.ndarray, count: int | None = None) -> np.ndarray:
        """Read the first `count` numbers (None: all) of `rows` ``(b,)``: ``(b, count)``.

        Raises
        ------
        ValueError
            If the file ends before a row does.
        """
        count = self.width if count is None else min(count, self.width)
        if not hasattr(os, "preadv"):  # Windows
            shape = (int(rows.max(initial=-1)) + 1, self.width)
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, shape)
            return np.array(mapped[rows, :count])
        found = np.empty((len(rows), count), self.dtype)
        apart = np.diff(rows, prepend=-2) != 1 if count == self.width else np.ones(len(rows), bool)
        starts = np.flatnonzero(apart).tolist()
        pieces = list(pairwise([*starts, len(rows)]))
        if len(pieces) <= _FEW:
            self._fill(found, rows, pieces)
        else:
            shares = [pieces[place::_THREADS] for place in range(_THREADS)]
            list(_readers().map(lambda share: self._fill(found, rows, share), shares))
        return found

    def _fill(self, found: np.ndarray, rows: np.ndarray, pieces: Iterable[tuple[int, int]]) -> None:
        """Read pieces of neighbouring rows into their places ``[first, end)``."""
        stride = self.width * self.dtype.itemsize
        for first, end in pieces:
            place, left = self.offset + int(rows[first]) * stride, found[first:end].data.cast("B")
            while len(left):
                got = os.preadv(self._handle, [left], place)
                if not got:
                    raise ValueError(
                        f"{self.path} ends within row {int(rows[end - 1]) + 1}: it was cut off "
                        "since it was opened; copy it again."
                    )
                place, left = place + got, left[got:]
