"""Columns of a run as a mapping: each is read when it is first looked at, a few stay in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_cryodeco.explore.columns import Column
    from napari_cryodeco.runs.run import Run

KEPT = 8  # columns in memory; of a million particles each has 8 MB or more


class ReadColumns(Mapping[str, np.ndarray]):
    """Columns ``(n,)`` by name, for any thread.

    Parameters
    ----------
    listed
        Which there are.
    read
        Reads some by their names.

    Examples
    --------
    >>> columns = ReadColumns.of_run(run)
    >>> columns["tilt"]  # (n,) degrees, read now
    """

    def __init__(
        self,
        listed: tuple[Column, ...] = (),
        read: Callable[[Iterable[str]], dict[str, np.ndarray]] | None = None,
    ) -> None:
        self.listed = listed
        self._by_name = {column.name: column for column in listed}
        self._read = read
        self._values: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of_run(cls, run: Run, epoch: int | None = None) -> ReadColumns:
        """Columns of an epoch (the newest by default), as `explore.columns.Columns` lists them."""
        from napari_cryodeco.explore.columns import Columns  # torch

        found = Columns(run, epoch)
        return cls(found.listed, found.read)

    def column(self, name: str) -> Column:
        """Title, unit and origin of a column; KeyError where there is none."""
        return self._by_name[name]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._by_name or self._read is None:
            raise KeyError(name)
        with self._lock:
            if name not in self._values:
                self._values[name] = self._read([name])[name]
                while len(self._values) > KEPT:
                    self._values.popitem(last=False)
            self._values.move_to_end(name)
            return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name  # that of Mapping would read the column

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)
