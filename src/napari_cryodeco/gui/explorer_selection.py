"""The explorer's selection: outlines, picks, ranges and steps, and how they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_cryodeco.explore.history import combined
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.explore.replay import between
from napari_cryodeco.gui.analysis import Analysis
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.colouring import Categorical, Continuous
from napari_cryodeco.gui.column_histogram import ColumnHistogram
from napari_cryodeco.gui.history_list import HistoryList
from napari_cryodeco.gui.named_selections import NamedSelections
from napari_cryodeco.gui.scatter import Mode, ScatterWidget
from napari_cryodeco.gui.selection_bar import SelectionBar
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.telling import attempt

if TYPE_CHECKING:
    from napari_cryodeco.explore.selection import Selection


NO_CLASSES = (
    "Pick needs classes: press Cluster first, or colour by a column of classes; then a click "
    "selects all particles of the same kind."
)


class ExplorerSelection(QObject):
    """Binds the tools of the scatter plot and of the histogram to the selection of a session.

    Parameters
    ----------
    session
        Of the viewer.
    scatter, histogram, bar, steps, named, analysis
        The widgets; this object owns none of them.
    """

    told = Signal(str)  # one sentence, or "" where all went well

    def __init__(
        self,
        session: Session,
        scatter: ScatterWidget,
        histogram: ColumnHistogram,
        bar: SelectionBar,
        steps: HistoryList,
        named: NamedSelections,
        analysis: Analysis,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._scatter, self._histogram = session, scatter, histogram
        self._bar, self._steps, self._analysis = bar, steps, analysis
        self._waiting = ""  # grow or shrink, until the neighbours are there
        bar.mode_chosen.connect(self.set_mode)
        bar.operation_chosen.connect(self._set_operation)
        bar.step_chosen.connect(self.step)
        bar.fit_asked.connect(scatter.fit)
        scatter.lassoed.connect(self._lassoed)
        scatter.picked.connect(self._picked)
        scatter.counting.connect(self._show_count)
        scatter.category_clicked.connect(self._select_category)
        scatter.hovered.connect(session.set_hovered)
        histogram.brushed.connect(self._brushed)
        histogram.brushing.connect(self._count_brushed)
        steps.chosen.connect(lambda place: self._try(lambda: session.go_to_step(place)))
        named.replay_asked.connect(self._replay)
        analysis.neighboured.connect(self._take_neighbours)
        analysis.replayed.connect(self._take_replayed)
        bind(
            self,
            (session.selection_changed, self._show_selection),
            (session.overlays_changed, self._show_overlays),
            (session.named_changed, self._show_overlays),
            (session.views_changed, self._show_overlays),
            (session.hover_changed, scatter.set_hovered),
            (session.colour_changed, self._show_histogram),
        )

    # ---- tools

    def set_mode(self, mode: str) -> None:
        """Choose what the left mouse button does: point, lasso, box, polygon, pick or pan."""
        self._scatter.mode = Mode(mode)
        self._bar.set_mode(mode)

    def _set_operation(self, operation: str) -> None:
        self._scatter.operation = self._histogram.operation = operation
        self._session.set_operation(operation)
        if self._scatter.mode in (Mode.POINT, Mode.PATH, Mode.PAN):
            self.set_mode(Mode.LASSO)

    def _lassoed(self, mask: np.ndarray, operation: str, polygon: np.ndarray) -> None:
        corners = tuple((float(x), float(y)) for x, y in polygon)
        self._session.select(mask, operation, self._session.outline_step(corners))

    def _picked(self, row: int, operation: str) -> None:
        colouring, clusters = self._session.colouring, self._session.clustering
        if isinstance(colouring, Categorical):
            self._select_category(int(colouring.codes[row]), operation)
        elif clusters is not None:
            label = int(clusters.labels[row])
            step = Step("labels", axes=("cluster",), labels=(label + 1,))
            self._session.select(clusters.labels == label, operation, step)
        else:
            self.told.emit(NO_CLASSES)

    def _select_category(self, code: int, operation: str) -> None:
        colouring = self._session.colouring
        if not isinstance(colouring, Categorical):
            return
        if colouring.label in ("cluster", "class"):
            step = Step("labels", axes=(colouring.label,), labels=(code + 1,))
        elif code < 0:
            step = Step("category", axes=(colouring.label,), names=colouring.names, rest=True)
        else:
            step = Step("category", axes=(colouring.label,), names=(colouring.names[code],))
        self._session.select(colouring.codes == code, operation, step)

    def _brushed(self, low: float, high: float, operation: str) -> None:
        colouring = self._session.colouring
        if isinstance(colouring, Continuous):
            step = Step("range", axes=(colouring.label,), bounds=(low, high))
            self._session.select(between(colouring.values, low, high), operation, step)

    # ---- steps

    def step(self, name: str) -> None:
        """Do what a button of the bar says: undo, redo, grow, shrink, invert, all, clear."""
        steps = {
            "undo": self._session.undo,
            "redo": self._session.redo,
            "grow": lambda: self._along_neighbours("grow"),
            "shrink": lambda: self._along_neighbours("shrink"),
            "invert": self._session.invert_selection,
            "all": self._session.select_all,
            "clear": self._session.clear_selection,
        }
        self._try(steps[name])

    def _along_neighbours(self, name: str) -> None:
        session = self._session
        if name == "grow" and not len(session.selected) and session.cursor is not None:
            session.select_rows(np.array([session.cursor.row]))
        if session.neighbours is None:
            self._waiting = name
            self._analysis.start_neighbours(session.loaded())
        elif name == "grow":
            session.grow_selection()
        else:
            session.shrink_selection()

    def _take_neighbours(self, found: tuple[int, np.ndarray]) -> None:
        epoch, table = found
        name, self._waiting = self._waiting, ""
        if epoch == self._session.epoch and len(table) == len(self._session.loaded().latents):
            self._session.neighbours = table
            if name:
                self._try(lambda: self._along_neighbours(name))

    def _replay(self, selection: Selection) -> None:
        session = self._session
        self._try(lambda: self._analysis.start_replay(selection, session.loaded(), session.columns))

    def _take_replayed(self, answer: tuple[Selection, np.ndarray]) -> None:
        selection, mask = answer
        if len(mask) == len(self._session.loaded().latents):
            self._session.select(mask, "replace", selection.as_step())
            same = int(np.count_nonzero(mask[selection.rows]))
            self.told.emit(
                f"'{selection.name}' replayed: {int(mask.sum()):,} particles, {same:,} of its "
                f"{len(selection):,} among them."
            )

    # ---- what is shown

    def _show_selection(self) -> None:
        history = self._session.history
        if history is None:
            return
        self._scatter.set_selected(history.mask)
        self._histogram.set_selected(history.mask if history.count else None)
        self._bar.set_history(history.can_undo, history.can_redo)
        self._steps.show_history(history.moments, history.place)
        self._show_count(None)

    def _show_count(self, counting: int | None) -> None:
        history = self._session.history
        if history is not None:
            count = history.count if counting is None else counting
            self._bar.set_count(count, len(history), counting is not None)

    def _count_brushed(self, brush: tuple[float, float, str] | None) -> None:
        history, colouring = self._session.history, self._session.colouring
        if brush is None or history is None or not isinstance(colouring, Continuous):
            self._show_count(None)
            return
        low, high, operation = brush
        mask = between(colouring.values, low, high)
        self._show_count(int(np.count_nonzero(combined(operation, history.mask, mask))))

    def _show_histogram(self) -> None:
        colouring, history = self._session.colouring, self._session.history
        there = isinstance(colouring, Continuous)
        self._histogram.setVisible(there)
        if isinstance(colouring, Continuous):
            self._histogram.set_colouring(colouring)
            some = history is not None and history.count
            self._histogram.set_selected(history.mask if history is not None and some else None)

    def _show_overlays(self) -> None:
        if self._session.snapshot is not None:
            self._scatter.set_overlays(self._session.drawn())

    def _try(self, act: Callable[[], object]) -> None:
        attempt(act, self.told.emit)
