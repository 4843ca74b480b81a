"""The evented state of one viewer: run, latents, view, colour, selection, cursor. No Qt in here.

Panels bind to the `Session` of their viewer (`session_of`) and never to each other. All methods
belong to the GUI thread. What takes time is `load_snapshot`, a plain function for any thread; its
answer is given to `Session.adopt`.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.gui.aiming import Aiming, Cursor, Target, Wanted
from napari_cryodeco.gui.colouring import Density
from napari_cryodeco.gui.map_filter import MapFilter
from napari_cryodeco.gui.snapshot import Snapshot, load_snapshot
from napari_cryodeco.gui.viewers import lasting

__all__ = ["Cursor", "Session", "Target", "Wanted", "session_of"]


class Session(Aiming):
    """State of the explorer in one viewer; every change is told by a signal.

    What is looked at is in `LatentView`, what is chosen in `Selecting`, what becomes the map in
    `Aiming`; this class changes the run under all three.
    """

    def open(self, path: Path, epoch: int | None = None) -> None:
        """Load and show a run here and now; the window loads on another thread, then adopts."""
        self.adopt(load_snapshot(path, epoch))

    def adopt(self, snapshot: Snapshot) -> None:
        """Show a loaded epoch. Of the same run, selection, axes and the cursor's particle stay."""
        before, self.snapshot = self.snapshot, snapshot
        self.neighbours = None
        same = before is not None and before.run.path == snapshot.run.path
        if not same or before is None or len(before.latents) != len(snapshot.latents):
            self._forget()
        elif self.view not in snapshot.projections:
            self.view = "pca"
        self._fit_axes()
        self.opened.emit(snapshot)
        self.clustering_changed.emit()
        self.views_changed.emit()
        self.colour_changed.emit()
        self.selection_changed.emit()
        if self.cursor is not None:  # the same particle has another z now
            self.cursor = self.on_particle(self.cursor.row)
            self.cursor_changed.emit(self.cursor, True)

    def _forget(self) -> None:
        snapshot = self.loaded()
        self.history = History(len(snapshot.latents))
        self.named, self.overlays, self.hovered = snapshot.named, frozenset(), None
        self.cursor, self.route, self.path = None, None, None
        self.path_support, self.path_position = None, 0.0
        self.map_filter, self.landscape = MapFilter(), None
        self.view, self.axes, self.target = "pca", (0, 1), Target.POINT
        self.colouring, self.columns = Density(), ReadColumns()
        self.named_changed.emit()
        self.overlays_changed.emit()
        self.hover_changed.emit(None)
        self.route_changed.emit()
        self.path_changed.emit()
        self.cursor_changed.emit(None, True)


_sessions: dict[int, Session] = {}


def session_of(viewer: Any) -> Session:
    """The one session of a viewer; it goes when the viewer goes.

    napari hands plugins a proxy of its viewer, and viewers compare by value: the key is the
    identity of what the proxy wraps, dropped by a weak reference.
    """
    viewer = lasting(viewer)
    key = id(viewer)
    if key not in _sessions:
        _sessions[key] = Session()
        weakref.finalize(viewer, _sessions.pop, key, None)
    return _sessions[key]
