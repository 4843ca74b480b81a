"""Which particles are chosen: the selection of the moment, its history, the named ones. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.latent_view import LatentView

if TYPE_CHECKING:
    from napari_cryodeco.explore.selection import Selection

Rows = NDArray[np.int64]


class Selecting(LatentView):
    """A view with a selection in it; everything acts on all particles, in view or not."""

    selection_changed = Signal()
    named_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.history: History | None = None
        self.named: tuple[Selection, ...] = ()

    @property
    def selected(self) -> Rows:
        """Rows of the selected particles, sorted."""
        return self.history.rows if self.history is not None else np.empty(0, np.int64)

    def _chosen(self) -> History:
        if self.history is None:
            raise ValueError("No run is open: open a run folder in the Explorer first.")
        return self.history

    def select(
        self, mask: NDArray[np.bool_], operation: str = "replace", step: Step | None = None
    ) -> None:
        """Combine particles ``(n,)`` bool into the selection: replace, add, subtract, intersect."""
        history = self._chosen()
        combine = {
            "replace": history.replace,
            "add": history.add,
            "subtract": history.subtract,
            "intersect": history.intersect,
        }[operation]
        combine(mask, step)
        self._selection_made()

    def select_rows(self, rows: Rows, operation: str = "replace", step: Step | None = None) -> None:
        """Combine particles by their rows into the selection."""
        mask = np.zeros(len(self.loaded().latents), bool)
        mask[rows] = True
        self.select(mask, operation, step)

    def select_all(self) -> None:
        """Select every particle."""
        self.select(np.ones(len(self.loaded().latents), bool), "replace", Step("all"))

    def clear_selection(self) -> None:
        """Select nothing."""
        self._chosen().clear()
        self._selection_made()

    def invert_selection(self) -> None:
        """Select exactly what was not selected."""
        self._chosen().invert()
        self._selection_made()

    def undo(self) -> None:
        """Take the last selection step back."""
        if self._chosen().undo():
            self._selection_made()

    def redo(self) -> None:
        """Do the last undone selection step again."""
        if self._chosen().redo():
            self._selection_made()

    def set_named(self, named: tuple[Selection, ...]) -> None:
        """Take the list of named selections after one was kept, renamed or deleted."""
        self.named = tuple(sorted(named, key=lambda selection: selection.name.casefold()))
        self.named_changed.emit()

    def _selection_made(self) -> None:
        self.selection_changed.emit()
