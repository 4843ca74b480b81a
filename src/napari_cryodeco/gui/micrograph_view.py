"""The micrographs that particles come from, and how many of each are selected."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QTableView, QWidget

from napari_cryodeco.explore.micrographs import NONE, Micrographs, by_micrograph
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.linked_view import LISTING, LinkedView
from napari_cryodeco.gui.micrograph_model import MicrographModel
from napari_cryodeco.gui.operations import operation_of
from napari_cryodeco.gui.session import Session

if TYPE_CHECKING:
    from napari_cryodeco.explore.read_columns import ReadColumns
    from napari_cryodeco.gui.background import Report


class Table(QTableView):
    """A table in which Enter acts on the row that is current, as a click does."""

    entered_row = Signal(QModelIndex)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take Enter; all else moves as in any table."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered_row.emit(self.currentIndex())
        else:
            super().keyPressEvent(event)


class MicrographView(LinkedView):
    """A table of micrographs; a click selects the particles of one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.model, self.table = MicrographModel(), Table()
        self._name = "micrograph"  # of the column
        table = self.table
        table.setModel(self.model)
        table.setSortingEnabled(True)
        table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTextElideMode(Qt.TextElideMode.ElideLeft)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        heads = table.horizontalHeader()
        heads.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        heads.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for section in (1, 2, 3):
            heads.resizeSection(section, 72)
        table.setToolTip(
            "<qt><b>Click</b> (or Enter) selects the particles of a micrograph; Shift adds, Alt or "
            "Ctrl takes away, both keep what is in both. A click on a title sorts.</qt>"
        )
        self.column.addWidget(table, 1)
        self.column.addWidget(self.message)
        table.clicked.connect(self._select)
        table.entered_row.connect(self._select)
        bind(self, (session.hover_changed, self._show_hovered))

    def _load(self) -> None:
        columns = self.session.columns
        if not columns:
            self.reading.forget()
            self.model.set_micrographs(NONE)
            self.say(LISTING)
            return
        self._name = "micrograph" if "micrograph" in columns else "stack"
        self.say("Reading micrographs…")
        self.reading.ask(partial(_micrographs, columns, self._name))

    def _take(self, found: Micrographs) -> None:
        if len(found.place) != len(self.session.loaded().latents):
            return
        kind = "Micrograph" if self._name == "micrograph" else "Image stack"
        self.model.set_micrographs(found, kind)
        self._show_selection()

    def _show_selection(self) -> None:
        history = self.session.history
        if history is None or not self._there():
            return
        self.model.set_selected(history.mask)
        count = self.model.rowCount()
        kind = "micrograph" if self._name == "micrograph" else "image stack"
        plural = "" if count == 1 else "s"
        chosen = f"{history.count:,} of {len(history):,} particles selected"
        self.say(f"{count:,} {kind}{plural}, {chosen}.")

    def _there(self) -> bool:
        snapshot = self.session.snapshot
        return snapshot is not None and self.model.particles == len(snapshot.latents)

    def _select(self, index: QModelIndex) -> None:
        if not index.isValid():
            return
        operation = operation_of(QApplication.keyboardModifiers(), self.session.operation)
        step = Step("category", axes=(self._name,), names=(self.model.name(index.row()),))
        mask = self.model.marked(index.row())
        self._try(lambda: self.session.select(mask, operation, step))

    def _show_hovered(self, particle: int | None) -> None:
        """Mark the micrograph of the particle that the mouse is on, in another view."""
        if particle is not None and self.isVisible() and self._there():
            self.table.selectRow(self.model.row_of(particle))


def _micrographs(columns: ReadColumns, name: str, report: Report) -> Micrographs:
    values = columns[name]
    report(1, 2)
    return by_micrograph(values)
