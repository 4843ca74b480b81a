"""The list of named selections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QInputDialog,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_cryodeco.explore.selection import Selection


class NamedList(QWidget):
    """Names and counts; a double click selects the particles again, F2 renames."""

    kept = Signal(str)  # keep the present selection under this name
    shown = Signal(int)  # place in the list
    renamed = Signal(int, str)
    deleted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._list = QListWidget()
        self._list.setToolTip("Double click: select these particles again. F2: rename.")
        self._list.setMinimumHeight(56)
        self._list.setMaximumHeight(110)
        self._list.itemDoubleClicked.connect(lambda item: self.shown.emit(self._list.row(item)))
        self._list.itemChanged.connect(self._rename)
        self._list.itemSelectionChanged.connect(self._enable)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        self.keep_button = self._button(row, "Save…", "Keep the present selection under a name")
        self.show_button = self._button(row, "Show", "Select the particles of this list again")
        self.rename_button = self._button(row, "Rename", "Give it another name")
        self.delete_button = self._button(row, "Delete", "Delete the list; particles stay")
        self.keep_button.clicked.connect(self._ask_name)
        self.show_button.clicked.connect(lambda: self.shown.emit(self._list.currentRow()))
        self.rename_button.clicked.connect(lambda: self._list.editItem(self._list.currentItem()))
        self.delete_button.clicked.connect(self._ask_delete)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self._list)
        column.addLayout(row)
        self._names: list[str] = []
        self._enable()

    def _button(self, row: QHBoxLayout, text: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        row.addWidget(button)
        return button

    def set_selections(self, selections: Sequence[Selection]) -> None:
        """Show these."""
        self._list.blockSignals(True)
        self._list.clear()
        self._names = [selection.name for selection in selections]
        for selection in selections:
            item = QListWidgetItem(selection.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setToolTip(f"{selection.name}: {len(selection):,} particles")
            self._list.addItem(item)
        self._list.blockSignals(False)
        self._enable()

    @property
    def names(self) -> list[str]:
        """Names in the order shown."""
        return list(self._names)

    def choose(self, place: int) -> None:
        """Mark one of the list."""
        self._list.setCurrentRow(place)

    def set_can_keep(self, can_keep: bool) -> None:
        """Say whether there is a selection to keep."""
        self.keep_button.setEnabled(can_keep)

    def _enable(self) -> None:
        some = bool(self._list.selectedItems())
        for button in (self.show_button, self.rename_button, self.delete_button):
            button.setEnabled(some)

    def _ask_name(self) -> None:
        proposal = f"selection {len(self._names) + 1}"
        name, accepted = QInputDialog.getText(self, "Save selection", "Name:", text=proposal)
        if accepted and name.strip():
            self.kept.emit(name.strip())

    def _rename(self, item: QListWidgetItem) -> None:
        place = self._list.row(item)
        if item.text().strip() != self._names[place]:
            self.renamed.emit(place, item.text().strip())

    def _ask_delete(self) -> None:
        place = self._list.currentRow()
        question = f"Delete the list '{self._names[place]}'? The particles themselves stay."
        if (
            QMessageBox.question(self, "Delete selection", question)
            == QMessageBox.StandardButton.Yes
        ):
            self.deleted.emit(place)
