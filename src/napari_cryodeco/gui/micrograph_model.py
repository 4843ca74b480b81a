"""The rows of the micrograph table: particles, selected ones and their share, sorted by any."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_cryodeco.explore.micrographs import NONE, Micrographs

_HEADS = ("Particles", "Selected", "Share")
_HINTS = (
    "Micrograph, or image stack where the file names no micrographs; a click selects its particles",
    "Particles of the run in it",
    "Selected particles in it",
    "Selected particles in it, per cent of its particles",
)
NAME, PARTICLES, SELECTED, SHARE = range(4)


class MicrographModel(QAbstractTableModel):
    """m micrographs in four columns."""

    def __init__(self) -> None:
        super().__init__()
        self._found = NONE
        self._chosen = np.empty(0, np.int64)
        self._order = np.empty(0, np.intp)
        self._kind = "Micrograph"
        self._sorted = (NAME, Qt.SortOrder.AscendingOrder)

    def set_micrographs(self, found: Micrographs, kind: str = "Micrograph") -> None:
        """Show other micrographs, or of what `kind` they are."""
        self.beginResetModel()
        self._kind = kind
        self._found, self._chosen = found, np.zeros(len(found.names), np.int64)
        self._order = self._sorted_order()
        self.endResetModel()

    def set_selected(self, mask: np.ndarray) -> None:
        """Count the selected particles ``(n,)`` bool."""
        self._chosen = self._found.chosen(mask)
        self.sort(*self._sorted)

    @property
    def particles(self) -> int:
        """How many there are in all micrographs."""
        return len(self._found.place)

    def name(self, row: int) -> str:
        """Name of the micrograph in a row of the table."""
        return self._found.names[self._order[row]]

    def row_of(self, particle: int) -> int:
        """Row of the table of a particle's micrograph."""
        return int(np.flatnonzero(self._order == self._found.place[particle])[0])

    def marked(self, row: int) -> np.ndarray:
        """Particles ``(n,)`` bool of the micrograph in a row of the table."""
        mask: np.ndarray = self._found.place == self._order[row]
        return mask

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Micrographs."""
        return len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Name and three numbers."""
        return 1 + len(_HEADS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """Titles, and what they mean."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return (self._kind, *_HEADS)[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return _HINTS[section]
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Words of a cell."""
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.name(index.row())
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() != NAME:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        place = self._order[index.row()]
        if index.column() == NAME:
            return self._found.names[place]
        value = self._values(index.column())[place]
        return f"{100 * value:.1f} %" if index.column() == SHARE else f"{value:,}"

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; equal ones by name."""
        self._sorted = (column, order)
        self.layoutAboutToBeChanged.emit()
        self._order = self._sorted_order()
        self.layoutChanged.emit()

    def _sorted_order(self) -> np.ndarray:
        column, order = self._sorted
        names = np.argsort(np.array(self._found.names, dtype=str), kind="stable")
        if column == NAME:
            return names if order == Qt.SortOrder.AscendingOrder else names[::-1]
        values = self._values(column)[names]
        down = order == Qt.SortOrder.DescendingOrder
        return names[np.argsort(-values if down else values, kind="stable")]

    def _values(self, column: int) -> np.ndarray:
        if column == PARTICLES:
            return self._found.counts
        if column == SELECTED:
            return self._chosen
        return self._chosen / np.maximum(self._found.counts, 1)
