"""A list that is searched by typing, and opens wherever it is clicked."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget
from superqt import QSearchableComboBox

SEEN = 12  # words of the list at a time


class SearchBox(QSearchableComboBox):
    """A click on its words opens the list, as a click on its arrow does; typing narrows it down."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.completer().setMaxVisibleItems(SEEN)
        self.lineEdit().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Open the list after the click, which sets the cursor first."""
        if event.type() == QEvent.Type.MouseButtonRelease and self.isEnabled():
            QTimer.singleShot(0, self._open)
        return bool(super().eventFilter(watched, event))

    def showEvent(self, event: QShowEvent) -> None:
        """Dress the list."""
        super().showEvent(event)
        self._dress()

    def changeEvent(self, event: QEvent) -> None:
        """Dress the list anew in another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._dress()

    def _dress(self) -> None:
        # the list is a window of its own, which takes no style from what it belongs to
        self.completer().popup().setStyleSheet(_style_around(self))

    def _open(self) -> None:
        self.lineEdit().selectAll()
        self.completer().setCompletionPrefix("")
        self.completer().complete()


def _style_around(widget: QWidget) -> str:
    """Style sheets of a widget and of all that it is in, the outermost first."""
    sheets: list[str] = []
    around: QWidget | None = widget
    while around is not None:
        sheets.insert(0, around.styleSheet())
        around = around.parentWidget()
    return "\n".join(sheet for sheet in sheets if sheet)
