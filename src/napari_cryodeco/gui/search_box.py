"""A list that is searched by typing, and opens wherever it is clicked."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget
from superqt import QSearchableComboBox


class SearchBox(QSearchableComboBox):
    """A click on its words opens the list, as a click on its arrow does; typing narrows it down."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lineEdit().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Open the list after the click, which sets the cursor first."""
        if event.type() == QEvent.Type.MouseButtonRelease and self.isEnabled():
            QTimer.singleShot(0, self._open)
        return bool(super().eventFilter(watched, event))

    def _open(self) -> None:
        self.lineEdit().selectAll()
        self.completer().setCompletionPrefix("")
        self.completer().complete()
