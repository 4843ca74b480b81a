"""The parts of a molecule that move, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem

from napari_cryodeco.explore.palette import category

if TYPE_CHECKING:
    from napari_cryodeco.explore.domains import Domain

_COLUMNS = {
    "nm³": "Volume of the part at the level of the map, nm³",
    "mean Å": "Movement of its density on average, Å",
    "most Å": "Movement that 98 % of its density do not exceed, Å",
    "turn": "Degrees by which it turns as a rigid body, from the first map to the last",
    "shift": "Å by which its centre is shifted as a rigid body, from the first map to the last",
    "fit": "Correlation of the rigid body with the worst of the maps; low where it bends",
    "centre": "Centre x, y, z in Å from voxel 0, as ChimeraX shows the saved maps",
}
_ROW = 22  # pixels
_MOST_ROWS = 4  # shown at once


class DomainTable(QTableWidget):
    """A row a part, the largest first, in the colour of its box."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self.domains: tuple[Domain, ...] = ()
        self.setHorizontalHeaderLabels(list(_COLUMNS))
        for column, hint in enumerate(_COLUMNS.values()):
            self.horizontalHeaderItem(column).setToolTip(hint)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.setToolTip("<qt>Connected parts that move more than what is said above (Å)</qt>")
        self.setAccessibleName("Moving parts")
        self.show_domains(())

    def show_domains(self, domains: Sequence[Domain]) -> None:
        """Show these and no others; of none, say so."""
        self.domains = tuple(domains)
        self.clearSpans()
        self.setRowCount(max(1, len(domains)))
        for row, one in enumerate(domains):
            cells = (
                f"{one.volume / 1000:,.0f}",
                f"{one.mean:.1f}",
                f"{one.most:.1f}",
                f"{one.turn:.0f}°",
                f"{one.shift:.1f}",
                f"{one.fit:.2f}",
                ", ".join(f"{value:.0f}" for value in one.centre),
            )
            for column, text in enumerate(cells):
                self.setItem(row, column, QTableWidgetItem(text))
            number = QTableWidgetItem(str(row + 1))
            number.setForeground(QColor(category(row)))
            self.setVerticalHeaderItem(row, number)
        if not domains:
            self.setItem(0, 0, QTableWidgetItem("No connected part moves so far."))
            self.setVerticalHeaderItem(0, QTableWidgetItem(""))
            self.setSpan(0, 0, 1, len(_COLUMNS))
        self.resizeColumnsToContents()
        shown = min(max(1, len(domains)), _MOST_ROWS)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + shown * _ROW + 18)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
