"""Which latent point becomes the map: the cursor, the selection, a cluster, a path. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_cryodeco.explore import points
from napari_cryodeco.explore.route import Route
from napari_cryodeco.gui.latent_view import Floats
from napari_cryodeco.gui.map_filter import MapFilter
from napari_cryodeco.gui.selecting import Selecting

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


class Aiming(Selecting):
    """A selection with a cursor and a trajectory, one of which is aimed at."""

    cursor_changed = Signal(object, bool)  # Cursor | None; False while the mouse still moves
    target_changed = Signal()
    route_changed = Signal()  # which trajectory is asked for
    path_changed = Signal()  # the trajectory drawn over the view
    path_position_changed = Signal(float)  # frame on that trajectory, from 0

    def __init__(self) -> None:
        super().__init__()
        self.cursor: Cursor | None = None
        self.target = Target.POINT
        self.target_cluster = 0
        self.map_filter = MapFilter()
        self.route: Route | None = None
        self.path: Floats | None = None
        self.path_support: NDArray[np.bool_] | None = None  # (t,), once it is known
        self.path_position = 0.0
        # connected before anybody else, so that others find the cursor where it belongs
        self.views_changed.connect(self._keep_on_particle)
        self.clustering_changed.connect(self._fit_cluster)

    # ---- cursor and target

    def _keep_on_particle(self) -> None:
        """In other axes the cursor stays on its particle, and so does the map."""
        if self.cursor is not None:
            x, y = self.coordinates()
            row = self.cursor.row
            self.cursor = replace(self.cursor, x=float(x[row]), y=float(y[row]))

    def _fit_cluster(self) -> None:
        if self.clustering is not None:
            self.target_cluster = min(self.target_cluster, len(self.clustering.centres) - 1)

    def _selection_made(self) -> None:
        if len(self.selected) and self.target not in (Target.MEAN, Target.MEDOID):
            self.target = Target.MEAN
        super()._selection_made()
        self.target_changed.emit()

    def move_cursor(self, x: float, y: float, final: bool = True) -> None:
        """Put the cursor to a place in the view; `final` is False while the mouse still moves."""
        self._put_cursor(self.lifted(x, y), final)

    def _put_cursor(self, cursor: Cursor, final: bool) -> None:
        self.cursor = cursor
        if self.target not in (Target.POINT, Target.PARTICLE):
            self.set_target(Target.POINT)
        self.cursor_changed.emit(self.cursor, final)

    def lifted(self, x: float, y: float) -> Cursor:
        """The particles at a place of the view."""
        latents = self.loaded().latents
        neighbours = int(np.clip(len(latents) // 20, 1, MOST_NEIGHBOURS))
        z, row = points.local_mean(latents, *self.coordinates(), (x, y), neighbours)
        return Cursor(x, y, row, z)

    def move_cursor_to(self, row: int) -> None:
        """Put the cursor on a particle."""
        self._put_cursor(self.on_particle(row), final=True)

    def on_particle(self, row: int) -> Cursor:
        """A cursor on a particle; where it has no place in the view, only its own z is meant."""
        x, y = self.coordinates()
        at = float(x[row]), float(y[row])
        if not np.isfinite(at).all():
            return Cursor(*at, row, self.loaded().latents[row])
        return self.lifted(*at)

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
            return Wanted(centre, snapshot.clustering.titles[self.target_cluster])
        return None

    # ---- trajectory

    def set_route(self, route: Route | None) -> None:
        """Ask for another trajectory, or none."""
        if route != self.route:
            self.route = route
            self.route_changed.emit()

    def set_path(self, path: Floats | None) -> None:
        """Draw a trajectory through latent points ``(t, d)`` over the view, or none."""
        self.path, self.path_support, self.path_position = path, None, 0.0
        self.path_changed.emit()

    def set_path_support(self, supported: NDArray[np.bool_]) -> None:
        """Say which frames ``(t,)`` of the trajectory lie among particles."""
        self.path_support = supported
        self.path_changed.emit()

    def set_path_position(self, frame: float) -> None:
        """Move the marker along the trajectory; frames count from 0."""
        self.path_position = frame
        self.path_position_changed.emit(frame)
