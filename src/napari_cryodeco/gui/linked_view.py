"""A view of the particles beside the scatter plot: it reads what it shows only while it is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.latest import Latest
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.telling import attempt

LISTING = "Looking through the particle file…"
NO_RUN = "Open a run in the Explorer first; it shows here as well, and selections go both ways."


class LinkedView(QWidget):
    """Base of the linked views: a message under the content, and work off the GUI thread.

    A view overrides `_load` (another run, epoch or columns), `_show_selection`, and what else it
    follows; all of them are called only while it is visible, and once when it is shown again.

    Parameters
    ----------
    session
        Of the viewer.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._stale = True
        self.reading = Latest(self)
        self.message = QLabel(NO_RUN)
        self.message.setWordWrap(True)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(6, 6, 6, 6)
        self.column.setSpacing(5)
        self.reading.returned.connect(self._take)
        self.reading.failed.connect(self.say)
        bind(
            self,
            (session.opened, self._changed),
            (session.columns_changed, self._changed),
            (session.selection_changed, self._selection_changed),
        )

    def say(self, sentence: str) -> None:
        """Show one sentence under the content; empty hides it."""
        self.message.setText(sentence)
        self.message.setVisible(bool(sentence))

    def showEvent(self, event: QShowEvent) -> None:
        """Read what changed while it was hidden."""
        super().showEvent(event)
        if self._stale:
            self._changed()

    def _changed(self, *_: Any) -> None:
        self._stale = not self.isVisible()
        if self._stale:
            return
        if self.session.snapshot is None:
            self.say(NO_RUN)
        else:
            self._load()

    def _selection_changed(self) -> None:
        if self.isVisible() and self.session.snapshot is not None:
            self._show_selection()
        else:
            self._stale = True

    def _try(self, act: Callable[[], object]) -> None:
        attempt(act, self.say)

    def _load(self) -> None:
        raise NotImplementedError

    def _take(self, answer: Any) -> None:
        raise NotImplementedError

    def _show_selection(self) -> None:
        raise NotImplementedError
