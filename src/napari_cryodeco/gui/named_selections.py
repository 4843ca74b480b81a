"""Named selections of the run that is open: kept, drawn, combined, changed, deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cryodeco.explore.palette import CATEGORIES, category
from napari_cryodeco.explore.recipe import Recipe, Step
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.named_list import Entry, NamedList
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
    replay_asked = Signal(object)  # Selection

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.list = NamedList()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list)
        self.list.kept.connect(self.keep)
        self.list.shown.connect(self._show)
        self.list.eyed.connect(self._eye)
        self.list.coloured.connect(lambda place, colour: self._change(place, colour=colour))
        self.list.noted.connect(lambda place, note: self._change(place, note=note))
        self.list.locked.connect(lambda place, on: self._change(place, locked=on))
        self.list.renamed.connect(self._rename)
        self.list.updated.connect(self._update)
        self.list.combined.connect(self._combine)
        self.list.deleted.connect(self._delete)
        self.list.replayed.connect(lambda place: self.replay_asked.emit(session.named[place]))
        bind(
            self,
            (session.named_changed, self._show_names),
            (session.overlays_changed, self._show_names),
            (session.selection_changed, self._show_selection),
        )
        self._show_names()
        self._show_selection()

    # ---- the present selection

    def keep(self, name: str) -> None:
        """Keep the present selection under a name, in the first colour that none has."""
        # Both import torch; a run is open, so it is in memory.
        from napari_cryodeco.explore import shelf
        from napari_cryodeco.explore.selection import Selection

        session = self._session
        if session.history is None:
            return
        taken = {selection.colour for selection in session.named}
        colour = next((c for c in CATEGORIES if c not in taken), category(len(session.named)))
        kept = Selection(name, session.history.rows, self._recipe(), colour)
        if self._try(lambda: shelf.keep(kept, self._folder())):
            session.set_named((*session.named, kept))

    def _update(self, place: int) -> None:
        if self._session.history is not None:
            self._change(place, rows=self._session.history.rows, recipe=self._recipe())

    def _recipe(self) -> Recipe:
        history = self._session.history
        recipe = history.recipe if history is not None else Recipe()
        return replace(recipe, epoch=self._session.epoch)

    def _show(self, place: int) -> None:
        named = self._session.named[place]
        self._session.select_rows(named.rows, "replace", named.as_step())

    def _combine(self, first: int, second: int, operation: str) -> None:
        one, other = (self._session.named[place] for place in (first, second))
        combine = {"add": one.union, "subtract": one.difference, "intersect": one.intersection}
        made = combine[operation](other, "")
        signs = {"add": "∪", "subtract": "−", "intersect": "∩"}
        name = f"{one.name} {signs[operation]} {other.name}"
        step = Step("selection", axes=(name,), steps=made.recipe.steps)
        self._session.select_rows(made.rows, "replace", step)

    # ---- what is kept

    def _eye(self, place: int, on: bool) -> None:
        name = {self._session.named[place].name}
        overlays = self._session.overlays
        self._session.set_overlays(overlays | name if on else overlays - name)

    def _change(self, place: int, **values: Any) -> None:
        from napari_cryodeco.explore import shelf

        named = list(self._session.named)

        def change() -> None:
            named[place] = shelf.change(named[place], self._folder(), **values)

        self._try(change)
        self._session.set_named(tuple(named))

    def _rename(self, place: int, name: str) -> None:
        from napari_cryodeco.explore import shelf

        named, overlays = list(self._session.named), self._session.overlays
        before = named[place].name

        def rename() -> None:
            named[place] = shelf.rename(named[place], name, self._folder())

        if self._try(rename) and before in overlays:
            overlays = overlays | {named[place].name}
        self._session.set_named(tuple(named))
        self._session.set_overlays(overlays & set(self.list.names))

    def _delete(self, place: int) -> None:
        from napari_cryodeco.explore import shelf

        named = self._session.named
        if self._try(lambda: shelf.delete(named[place], self._folder())):
            self._session.set_named(named[:place] + named[place + 1 :])

    def _folder(self) -> Path:
        return self._session.loaded().run.paths.selections

    def _show_names(self) -> None:
        entries = [
            Entry(s.name, len(s), s.colour or category(place), s.note, s.locked)
            for place, s in enumerate(self._session.named)
        ]
        self.list.set_selections(entries, self._session.overlays)

    def _show_selection(self) -> None:
        self.list.set_can_keep(len(self._session.selected) > 0)

    def _try(self, act: Callable[[], object]) -> bool:
        return attempt(act, self.told.emit)
