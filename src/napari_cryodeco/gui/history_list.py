"""Every step of the selection, to be gone back to by a click."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QAbstractItemView, QListView, QWidget

from napari_cryodeco.explore.history import Moment

Role = Qt.ItemDataRole


class _Moments(QAbstractListModel):
    """Rows are made when they are looked at, so thousands of steps cost nothing."""

    def __init__(self, view: QListView) -> None:
        super().__init__(view)
        self._view = view
        self._moments: list[Moment] = []
        self.place = 0

    def show(self, moments: list[Moment], place: int) -> None:
        self.beginResetModel()
        self._moments, self.place = moments, place
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self._moments)

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        if not 0 <= index.row() < len(self._moments):
            return None
        moment = self._moments[index.row()]
        if role == Role.DisplayRole:
            return f"{index.row()}  {moment.words()}   →  {moment.count:,}"
        if role == Role.ToolTipRole:
            return f"{moment.words()}: {moment.count:,} particles selected. Click to go there"
        if role == Role.ForegroundRole and index.row() > self.place:
            group = QPalette.ColorGroup.Disabled
            return self._view.palette().color(group, QPalette.ColorRole.WindowText)
        return None


class HistoryList(QListView):
    """The steps of the selection in order; undone ones, after the present one, are grey."""

    chosen = Signal(int)  # place in the history

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = _Moments(self)
        self.setModel(self._model)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(56)
        self.setAccessibleName("Steps of the selection")
        self.clicked.connect(lambda index: self.chosen.emit(index.row()))
        self.activated.connect(lambda index: self.chosen.emit(index.row()))

    def sizeHint(self) -> QSize:
        """A few rows: the plot needs the room."""
        return QSize(200, 90)

    def show_history(self, moments: list[Moment], place: int) -> None:
        """Show all moments, and which of them is the selection now."""
        self._model.show(moments, place)
        index = self._model.index(place, 0)
        self.setCurrentIndex(index)
        self.scrollTo(index)

    @property
    def texts(self) -> list[str]:
        """The rows as they are shown."""
        rows = range(self._model.rowCount())
        return [self._model.data(self._model.index(row, 0)) for row in rows]
