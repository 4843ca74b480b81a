"""Named selections of the run that is open: kept, shown again, renamed, deleted."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.named_list import NamedList
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.telling import attempt


class NamedSelections(QWidget):
    """Binds the list to a session and to the files of its run.

    Parameters
    ----------
    session
        Of the viewer.
    """

    told = Signal(str)  # one sentence, or "" where all went well

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.list = NamedList()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list)
        self.list.kept.connect(self.keep)
        self.list.shown.connect(self._show)
        self.list.renamed.connect(self._rename)
        self.list.deleted.connect(self._delete)
        bind(
            self,
            (session.named_changed, self._show_names),
            (session.selection_changed, self._show_selection),
        )
        self._show_names()
        self._show_selection()

    def keep(self, name: str) -> None:
        """Keep the present selection under a name."""
        # Both import torch; a run is open, so it is in memory.
        from napari_cryodeco.explore import shelf
        from napari_cryodeco.explore.selection import Selection

        session = self._session
        if session.history is None:
            return
        kept = Selection(name, session.history.rows, session.history.recipe)
        if self._try(lambda: shelf.keep(kept, session.loaded().run.paths.selections)):
            session.set_named((*session.named, kept))

    def _show(self, place: int) -> None:
        self._session.select_rows(self._session.named[place].rows, "replace", Step("rows"))

    def _rename(self, place: int, name: str) -> None:
        from napari_cryodeco.explore import shelf

        folder = self._session.loaded().run.paths.selections
        named = list(self._session.named)

        def rename() -> None:
            named[place] = shelf.rename(named[place], name, folder)

        self._try(rename)
        self._session.set_named(tuple(named))

    def _delete(self, place: int) -> None:
        from napari_cryodeco.explore import shelf

        named = self._session.named
        folder = self._session.loaded().run.paths.selections
        if self._try(lambda: shelf.delete(named[place], folder)):
            self._session.set_named(named[:place] + named[place + 1 :])

    def _show_names(self) -> None:
        self.list.set_selections(self._session.named)

    def _show_selection(self) -> None:
        self.list.set_can_keep(len(self._session.selected) > 0)

    def _try(self, act: Callable[[], object]) -> bool:
        return attempt(act, self.told.emit)
