"""The explorer's selection: lasso, legend, steps and their count."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.colouring import Categorical
from napari_cryodeco.gui.scatter import Mode, ScatterWidget
from napari_cryodeco.gui.selection_bar import SelectionBar
from napari_cryodeco.gui.session import Session
from napari_cryodeco.gui.telling import attempt


class ExplorerSelection(QObject):
    """Binds the tools of the scatter plot and their bar to the selection of a session.

    Parameters
    ----------
    session
        Of the viewer.
    scatter, bar
        The widgets; this object owns none of them.
    """

    told = Signal(str)  # one sentence, or "" where all went well

    def __init__(
        self,
        session: Session,
        scatter: ScatterWidget,
        bar: SelectionBar,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._scatter, self._bar = session, scatter, bar
        bar.mode_chosen.connect(self.set_mode)
        bar.operation_chosen.connect(self._set_operation)
        bar.step_chosen.connect(self.step)
        bar.fit_asked.connect(scatter.fit)
        scatter.lassoed.connect(self._lassoed)
        scatter.counting.connect(self._show_count)
        scatter.category_clicked.connect(self._category_clicked)
        bind(self, (session.selection_changed, self._show_selection))

    def set_mode(self, mode: str) -> None:
        """Choose what the left mouse button does: point, lasso or pan."""
        self._scatter.mode = Mode(mode)
        self._bar.set_mode(mode)

    def _set_operation(self, operation: str) -> None:
        self._scatter.operation = operation
        self.set_mode(Mode.LASSO)

    def step(self, name: str) -> None:
        """Do what a button of the bar says: undo, redo, invert, all, clear."""
        steps = {
            "undo": self._session.undo,
            "redo": self._session.redo,
            "invert": self._session.invert_selection,
            "all": self._session.select_all,
            "clear": self._session.clear_selection,
        }
        attempt(steps[name], self.told.emit)

    def _lassoed(self, mask: np.ndarray, operation: str, polygon: np.ndarray) -> None:
        corners = tuple((float(x), float(y)) for x, y in polygon)
        step = Step("lasso", axes=self._session.axis_labels(), polygon=corners)
        self._session.select(mask, operation, step)

    def _category_clicked(self, code: int, operation: str) -> None:
        colouring = self._session.colouring
        if isinstance(colouring, Categorical):
            step = Step("labels", labels=(code + 1,)) if colouring.label == "cluster" else None
            self._session.select(colouring.codes == code, operation, step)

    def _show_selection(self) -> None:
        history = self._session.history
        if history is None:
            return
        self._scatter.set_selected(history.mask)
        self._bar.set_history(history.can_undo, history.can_redo)
        self._show_count(None)

    def _show_count(self, counting: int | None) -> None:
        history = self._session.history
        if history is not None:
            count = history.count if counting is None else counting
            self._bar.set_count(count, len(history), counting is not None)
