"""The evented state of one viewer: run, latents, view, colour, selection, cursor. No Qt in here.

Panels bind to the `Session` of their viewer (`session_of`) and never to each other. All methods
belong to the GUI thread. What takes time is `load_snapshot`, a plain function for any thread; its
answer is given to `Session.adopt`.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_cryodeco.explore import points
from napari_cryodeco.explore.history import History
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.colouring import (
    Categorical,
    Colouring,
    Continuous,
    Density,
    by_label,
)
from napari_cryodeco.gui.map_filter import MapFilter
from napari_cryodeco.gui.snapshot import Snapshot, load_snapshot

if TYPE_CHECKING:
    from napari_cryodeco.explore.landscape import Clustering, Projection
    from napari_cryodeco.explore.selection import Selection
    from napari_cryodeco.runs.run import Run

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
MOST_NEIGHBOURS = 50


class Target(StrEnum):
    """Which latent point is decoded into the map."""

    POINT = "point"
    PARTICLE = "particle"
    MEAN = "mean"
    MEDOID = "medoid"
    CLUSTER = "cluster"


@dataclass(frozen=True, eq=False)
class Cursor:
    """A place in the view, the nearest particle's row, and the neighbours' mean z ``(d,)``."""

    x: float
    y: float
    row: int
    z: Floats


@dataclass(frozen=True, eq=False)
class Wanted:
    """A latent point ``(d,)`` to decode, and in words what it is."""

    z: Floats
    caption: str


class Session:
    """State of the explorer in one viewer; every change is told by a signal."""

    opened = Signal(object)  # Snapshot: another run, or another epoch of it
    views_changed = Signal()  # the projections, which one is shown, or its axes
    colour_changed = Signal()
    clustering_changed = Signal()
    cursor_changed = Signal(object, bool)  # Cursor | None; False while the mouse still moves
    selection_changed = Signal()
    named_changed = Signal()
    target_changed = Signal()
    path_changed = Signal()  # the trajectory drawn over the view
    path_position_changed = Signal(float)  # frame on that trajectory, from 0

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.view = "pca"
        self.axes = (0, 1)
        self.colouring: Colouring = Density()
        self.cursor: Cursor | None = None
        self.history: History | None = None
        self.named: tuple[Selection, ...] = ()
        self.target = Target.POINT
        self.target_cluster = 0
        self.map_filter = MapFilter()
        self.path: Floats | None = None
        self.path_position = 0.0

    # ---- the run

    @property
    def run(self) -> Run | None:
        """The run that is open."""
        return self.snapshot.run if self.snapshot else None

    @property
    def epoch(self) -> int | None:
        """Number of the epoch shown."""
        return self.snapshot.epoch if self.snapshot else None

    @property
    def clustering(self) -> Clustering | None:
        """Clusters of the latents shown."""
        return self.snapshot.clustering if self.snapshot else None

    def loaded(self) -> Snapshot:
        """The open snapshot.

        Raises
        ------
        ValueError
            When no run is open.
        """
        if self.snapshot is None:
            raise ValueError("No run is open: open a run folder in the Explorer first.")
        return self.snapshot

    def open(self, path: Path, epoch: int | None = None) -> None:
        """Load and show a run here and now; the window loads on another thread, then adopts."""
        self.adopt(load_snapshot(path, epoch))

    def adopt(self, snapshot: Snapshot) -> None:
        """Show a loaded epoch. Of the same run, selection, axes and the cursor's particle stay."""
        before, self.snapshot = self.snapshot, snapshot
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
            x, y = self.coordinates()
            row = self.cursor.row
            self.cursor = self._cursor_at(float(x[row]), float(y[row]))
            self.cursor_changed.emit(self.cursor, True)

    def _forget(self) -> None:
        snapshot = self.loaded()
        self.history = History(len(snapshot.latents))
        self.named = snapshot.named
        self.cursor, self.path, self.path_position = None, None, 0.0
        self.view, self.axes, self.target = "pca", (0, 1), Target.POINT
        self.colouring = Density()
        self.named_changed.emit()
        self.path_changed.emit()
        self.cursor_changed.emit(None, True)

    # ---- the view

    @property
    def projection(self) -> Projection:
        """The projection shown."""
        return self.loaded().projections[self.view]

    def coordinates(self) -> tuple[Floats, Floats]:
        """Places ``(n,)``, ``(n,)`` of all particles; one latent dimension has y = 0."""
        table = self.projection.coordinates
        x = np.ascontiguousarray(table[:, self.axes[0]])
        flat = self.axes[1] >= table.shape[1]
        return x, np.zeros_like(x) if flat else np.ascontiguousarray(table[:, self.axes[1]])

    def axis_names(self) -> list[str]:
        """Names of the axes of the projection shown, with their share of the variance."""
        shown = self.projection
        if shown.method == "umap" or shown.explained is None:
            return [f"{shown.method.upper()} {i + 1}" for i in range(shown.coordinates.shape[1])]
        return [f"PC{i + 1} ({100 * share:.0f} %)" for i, share in enumerate(shown.explained)]

    def axis_labels(self) -> tuple[str, ...]:
        """Plain names of the axes shown, without their shares: "PC1", "PC2"."""
        names = self.axis_names()
        return tuple(names[axis].split(" (")[0] for axis in self.axes if axis < len(names))

    def set_view(self, method: str, axes: tuple[int, int] | None = None) -> None:
        """Show another projection, or other axes of it."""
        if method not in self.loaded().projections:
            raise ValueError(f"There is no {method} of epoch {self.epoch} yet: compute it first.")
        changed = method != self.view
        self.view, self.axes = method, axes or ((0, 1) if changed else self.axes)
        self._fit_axes()
        if self.cursor is not None:  # it stays on its particle, and so does the map
            x, y = self.coordinates()
            row = self.cursor.row
            self.cursor = replace(self.cursor, x=float(x[row]), y=float(y[row]))
        self.views_changed.emit()

    def _fit_axes(self) -> None:
        width = self.projection.coordinates.shape[1]
        if max(self.axes) >= width:
            self.axes = (0, 1)

    def add_projection(self, projection: Projection) -> None:
        """Take a projection that was made of the latents shown, and show it."""
        snapshot = self.loaded()
        self.snapshot = replace(
            snapshot, projections=snapshot.projections | {projection.method: projection}
        )
        self.set_view(projection.method)

    def set_clustering(self, clustering: Clustering) -> None:
        """Take clusters of the latents shown, and colour by them."""
        self.snapshot = replace(self.loaded(), clustering=clustering)
        self.target_cluster = min(self.target_cluster, len(clustering.centres) - 1)
        self.clustering_changed.emit()
        self.set_colouring(by_label("cluster", clustering.labels))

    def set_colouring(self, colouring: Colouring) -> None:
        """Colour the particles."""
        self.colouring = colouring
        self.colour_changed.emit()

    def project(self, z: Floats) -> Floats:
        """Places ``(t, 2)`` of latent points ``(t, d)`` in the axes shown.

        PCA is exact. UMAP has no place for a new point: it stands at its nearest particle.
        """
        shown = self.projection
        if shown.components is not None and shown.mean is not None:
            table = (np.asarray(z) - shown.mean) @ shown.components.T
        else:
            latents = self.loaded().latents
            rows = [int(np.argmin(((latents - point) ** 2).sum(1))) for point in np.atleast_2d(z)]
            table = shown.coordinates[rows]
        y = table[:, self.axes[1]] if self.axes[1] < table.shape[1] else np.zeros(len(table))
        return np.column_stack([table[:, self.axes[0]], y])

    def describe(self, row: int) -> str:
        """A particle in a few lines: its row, its place, and the value it is coloured by."""
        x, y = self.coordinates()
        lines = [f"particle {row + 1:,} (row {row:,} of the file)"]
        for name, values in zip(self.axis_labels(), (x, y), strict=False):
            lines.append(f"{name} {values[row]:.3g}")
        if isinstance(colouring := self.colouring, Continuous):
            lines.append(f"{colouring.label} {colouring.values[row]:.5g}")
        elif isinstance(colouring, Categorical):
            code = int(colouring.codes[row])
            lines.append(
                f"{colouring.label} {colouring.names[code] if code >= 0 else colouring.rest}"
            )
        return "\n".join(lines)

    # ---- cursor, selection, target

    def move_cursor(self, x: float, y: float, final: bool = True) -> None:
        """Put the cursor to a place in the view; `final` is False while the mouse still moves."""
        self.cursor = self._cursor_at(x, y)
        if self.target not in (Target.POINT, Target.PARTICLE):
            self.set_target(Target.POINT)
        self.cursor_changed.emit(self.cursor, final)

    def _cursor_at(self, x: float, y: float) -> Cursor:
        latents = self.loaded().latents
        neighbours = int(np.clip(len(latents) // 20, 1, MOST_NEIGHBOURS))
        z, row = points.local_mean(latents, *self.coordinates(), (x, y), neighbours)
        return Cursor(x, y, row, z)

    def move_cursor_to(self, row: int) -> None:
        """Put the cursor on a particle."""
        x, y = self.coordinates()
        self.move_cursor(float(x[row]), float(y[row]))

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
        if len(self.selected) and self.target not in (Target.MEAN, Target.MEDOID):
            self.target = Target.MEAN
        self.selection_changed.emit()
        self.target_changed.emit()

    def set_target(self, target: Target, cluster: int | None = None) -> None:
        """Choose what is decoded; `cluster` counts from 0."""
        self.target = Target(target)
        if cluster is not None:
            self.target_cluster = cluster
        self.target_changed.emit()

    def set_map_filter(self, chosen: MapFilter) -> None:
        """Filter what is decoded from now on."""
        self.map_filter = chosen
        self.target_changed.emit()

    def wanted(self) -> Wanted | None:
        """The latent point that the target means now; None when there is nothing to decode yet."""
        snapshot, cursor, rows = self.snapshot, self.cursor, self.selected
        if snapshot is None:
            return None
        if self.target is Target.POINT and cursor is not None:
            return Wanted(cursor.z, f"neighbours of particle {cursor.row + 1:,}")
        if self.target is Target.PARTICLE and cursor is not None:
            return Wanted(snapshot.latents[cursor.row], f"particle {cursor.row + 1:,}")
        if self.target is Target.MEAN and len(rows):
            return Wanted(snapshot.latents[rows].mean(axis=0), f"mean of {len(rows):,} particles")
        if self.target is Target.MEDOID and len(rows):
            row = points.medoid(snapshot.latents, rows)
            return Wanted(snapshot.latents[row], f"particle {row + 1:,}, medoid of {len(rows):,}")
        if self.target is Target.CLUSTER and snapshot.clustering is not None:
            centre = snapshot.clustering.centres[self.target_cluster]
            return Wanted(centre, f"cluster {self.target_cluster + 1}")
        return None

    # ---- trajectory

    def set_path(self, path: Floats | None) -> None:
        """Draw a trajectory through latent points ``(t, d)`` over the view, or none."""
        self.path, self.path_position = path, 0.0
        self.path_changed.emit()

    def set_path_position(self, frame: float) -> None:
        """Move the marker along the trajectory; frames count from 0."""
        self.path_position = frame
        self.path_position_changed.emit(frame)


_sessions: dict[int, Session] = {}


def session_of(viewer: Any) -> Session:
    """The one session of a viewer; it goes when the viewer goes.

    napari hands plugins a proxy of its viewer, and viewers compare by value: the key is the
    identity of what the proxy wraps, dropped by a weak reference.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    key = id(viewer)
    if key not in _sessions:
        _sessions[key] = Session()
        weakref.finalize(viewer, _sessions.pop, key, None)
    return _sessions[key]
