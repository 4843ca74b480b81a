"""Which particles are chosen: the selection of the moment, its history, the named ones. No Qt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.palette import category
from napari_cryodeco.explore.recipe import Recipe, Step
from napari_cryodeco.gui.latent_view import LatentView

if TYPE_CHECKING:
    from napari_cryodeco.explore.selection import Selection

Rows = NDArray[np.int64]


class Selecting(LatentView):
    """A view with a selection in it; everything acts on all particles, in view or not."""

    selection_changed = Signal()
    named_changed = Signal()
    overlays_changed = Signal()  # which named selections are drawn
    operation_changed = Signal(str)
    hover_changed = Signal(object)  # row of the particle under the mouse, in any view, or None

    def __init__(self) -> None:
        super().__init__()
        self.history: History | None = None
        self.named: tuple[Selection, ...] = ()
        self.overlays: frozenset[str] = frozenset()
        self.neighbours: NDArray[np.int32] | None = None  # (n, k), once they were sought
        self.hovered: int | None = None
        self.operation = "replace"  # what is done with particles that are marked, in any view

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
        self._chosen().act(operation, mask, step)
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

    def grow_selection(self) -> None:
        """Select the neighbours in z of what is selected too.

        Raises
        ------
        ValueError
            When the `neighbours` were not sought yet, or nothing is selected.
        """
        self._grown_from().grow(self._known_neighbours())
        self._selection_made()

    def shrink_selection(self) -> None:
        """Deselect what has a neighbour in z that is not selected; raises as `grow_selection`."""
        self._grown_from().shrink(self._known_neighbours())
        self._selection_made()

    def _grown_from(self) -> History:
        history = self._chosen()
        if not history.count:
            raise ValueError("Nothing is selected: draw a lasso, or click with the Pick tool (C).")
        return history

    def _known_neighbours(self) -> NDArray[np.int32]:
        if self.neighbours is None:
            raise ValueError("The neighbours in z have not been sought yet.")
        return self.neighbours

    def go_to_step(self, place: int) -> None:
        """Go back, or forward again, to any moment of the history."""
        self._chosen().go_to(place)
        self._selection_made()

    def undo(self) -> None:
        """Take the last selection step back."""
        if self._chosen().undo():
            self._selection_made()

    def redo(self) -> None:
        """Do the last undone selection step again."""
        if self._chosen().redo():
            self._selection_made()

    def resume_selection(self, mask: NDArray[np.bool_], recipe: Recipe) -> None:
        """Take a selection ``(n,)`` bool of an earlier session; what is decoded stays."""
        self._chosen().resume(mask, recipe)
        self.selection_changed.emit()

    def set_named(self, named: tuple[Selection, ...]) -> None:
        """Take the list of named selections after one was kept, renamed or deleted."""
        self.named = tuple(sorted(named, key=lambda selection: selection.name.casefold()))
        self.named_changed.emit()
        self.set_overlays(self.overlays & {selection.name for selection in self.named})

    def set_overlays(self, names: Iterable[str]) -> None:
        """Draw these named selections in their colours, and no others."""
        self.overlays = frozenset(names)
        self.overlays_changed.emit()

    def drawn(self) -> tuple[tuple[NDArray[np.bool_], str], ...]:
        """The named selections that are drawn: marked particles ``(n,)`` and colour ``#RRGGBB``."""
        n = len(self.loaded().latents)
        return tuple(
            (selection.mask(n), selection.colour or category(place))
            for place, selection in enumerate(self.named)
            if selection.name in self.overlays
        )

    def set_operation(self, operation: str) -> None:
        """Say what is done with particles marked from now on, where no key says otherwise."""
        self.operation = operation
        self.operation_changed.emit(operation)

    def set_hovered(self, row: int | None) -> None:
        """Say which particle the mouse is on, in whichever view."""
        if row != self.hovered:
            self.hovered = row
            self.hover_changed.emit(row)

    def _selection_made(self) -> None:
        self.selection_changed.emit()
