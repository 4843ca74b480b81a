"""Where the particles are seen from: all of them on a map of the sphere, the selected in front."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QToolButton, QWidget

from napari_cryodeco.explore import sphere
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.direction_map import DirectionMap
from napari_cryodeco.gui.linked_view import LISTING, LinkedView
from napari_cryodeco.gui.scatter import Mode
from napari_cryodeco.gui.session import Session

if TYPE_CHECKING:
    from napari_cryodeco.explore.read_columns import ReadColumns
    from napari_cryodeco.gui.background import Report

NO_POSES = (
    "This run has no orientations: latents of another program came without poses. Adopt them with "
    "the particle file of the refinement to see viewing directions."
)
_TOOLS = {
    Mode.LASSO: "Lasso: draw around viewing directions to select their particles",
    Mode.BOX: "Box: drag from corner to corner to select what is inside",
    Mode.PAN: "Pan: drag to move the map; the wheel zooms, F shows all of it",
}
Places = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class DirectionView(LinkedView):
    """A density of all particles over the sphere; lasso and box select, as in the Explorer."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.map = DirectionMap()
        self.count = QLabel()
        self._angles: tuple[np.ndarray, np.ndarray] | None = None
        self.map.empty_text = "The viewing directions of all particles appear here."
        self.map.set_hover(self._describe)
        self.map.setToolTip(
            "<qt>Viewing directions of all particles (degrees: tilt from 0 at the top to 180, "
            "azimuth from −180 to 180). Equal areas of the map are equal areas of the sphere. "
            "<b>Draw</b> to select; Shift adds, Alt or Ctrl takes away, both keep what is in "
            "both.</qt>"
        )
        self.column.addLayout(self._tools())
        self.setStyleSheet("QToolButton:checked { background-color: palette(highlight); }")
        self.column.addWidget(self.map, 1)
        self.column.addWidget(self.message)
        self.map.lassoed.connect(self._lassoed)
        self.map.counting.connect(self._show_count)
        self.map.hovered.connect(session.set_hovered)
        bind(
            self,
            (session.hover_changed, self.map.set_hovered),
            (session.operation_changed, self._set_operation),
            (session.colour_changed, self._show_colours),
            (session.overlays_changed, self._show_colours),
        )

    def _tools(self) -> QHBoxLayout:
        row, group = QHBoxLayout(), QButtonGroup(self)
        self.tools: dict[Mode, QToolButton] = {}
        for mode, hint in _TOOLS.items():
            button = QToolButton()
            button.setText(mode.value.capitalize())
            button.setToolTip(hint)
            button.setCheckable(True)
            button.setChecked(mode is self.map.mode)
            button.clicked.connect(partial(setattr, self.map, "mode", mode))
            group.addButton(button)
            row.addWidget(button)
            self.tools[mode] = button
        row.addWidget(self.count, 1)
        return row

    def _set_operation(self, operation: str) -> None:
        self.map.operation = operation

    def _load(self) -> None:
        columns = self.session.columns
        if not columns:
            self._clear(LISTING)
            return
        if "azimuth" not in columns:
            self._clear(NO_POSES)
            return
        self.say("Reading viewing directions…")
        self.reading.ask(partial(_places, columns))

    def _clear(self, why: str) -> None:
        self.reading.forget()
        self.map.set_directions(np.empty(0, np.float32), np.empty(0, np.float32))
        self.say(why)

    def _take(self, answer: Places) -> None:
        azimuth, tilt, x, y = answer
        if self.session.snapshot is None or len(x) != len(self.session.snapshot.latents):
            return
        self._angles = (azimuth, tilt)
        self.map.set_directions(x, y)
        self.say("")
        self._show_colours()
        self._show_selection()

    def _there(self) -> bool:
        snapshot = self.session.snapshot
        return snapshot is not None and len(self.map.points[0]) == len(snapshot.latents)

    def _show_colours(self) -> None:
        if self._there() and self.isVisible():
            self.map.set_colouring(self.session.colouring)
            self.map.set_overlays(self.session.drawn())

    def _show_selection(self) -> None:
        if self._there() and self.session.history is not None:
            self.map.set_selected(self.session.history.mask)
            self._show_count(None)

    def _show_count(self, counting: int | None) -> None:
        history = self.session.history
        if history is not None:
            words = "selected" if counting is None else "would be selected"
            number = history.count if counting is None else counting
            self.count.setText(f"{number:,} of {len(history):,} {words}")

    def _lassoed(self, mask: np.ndarray, operation: str, polygon: np.ndarray) -> None:
        corners = tuple((float(x), float(y)) for x, y in polygon)
        step = Step("directions", polygon=corners)
        self._try(lambda: self.session.select(mask, operation, step))

    def _describe(self, row: int) -> str:
        words = self.session.describe(row)
        if self._angles is None:
            return words
        azimuth, tilt = (float(angle[row]) for angle in self._angles)
        return f"{words}\nseen along azimuth {azimuth:.0f}°, tilt {tilt:.0f}°"


def _places(columns: ReadColumns, report: Report) -> Places:
    azimuth, tilt = columns["azimuth"], columns["tilt"]
    report(1, 2)
    return azimuth, tilt, *sphere.project(azimuth, tilt)
