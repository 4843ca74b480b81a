"""What is looked at: an epoch of a run, a plane through its latents, and the colours. No Qt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.explore.recipe import Step
from napari_cryodeco.gui.colouring import (
    Categorical,
    Colouring,
    Continuous,
    Density,
    Directional,
    by_label,
    title_of,
)
from napari_cryodeco.gui.snapshot import Snapshot

if TYPE_CHECKING:
    from napari_cryodeco.explore.landscape import Clustering, Projection
    from napari_cryodeco.runs.run import Run

Floats = NDArray[np.floating[Any]]


class LatentView:
    """The open snapshot, the axes it is drawn over, and what its particles are coloured by."""

    opened = Signal(object)  # Snapshot: another run, or another epoch of it
    views_changed = Signal()  # the projections, which one is shown, or its axes
    colour_changed = Signal()
    clustering_changed = Signal()
    columns_changed = Signal()
    landscape_changed = Signal()

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.view = "pca"
        self.axes = (0, 1)
        self.colouring: Colouring = Density()
        self.columns = ReadColumns()  # of the file, of poses, of the user
        self.landscape: float | None = None  # kT that marked minima are deep; None: not shown

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

    def outline_step(self, polygon: tuple[tuple[float, float], ...]) -> Step:
        """The step of an outline drawn over the axes shown, in data units."""
        shown = self.projection
        step = Step("lasso", axes=self.axis_labels(), polygon=polygon)
        if shown.part is None:
            return step
        steps = shown.part.recipe(len(shown.coordinates))
        return replace(step, steps=steps, labels=(shown.seed or 0,))

    def set_view(self, method: str, axes: tuple[int, int] | None = None) -> None:
        """Show another projection, or other axes of it."""
        if method not in self.loaded().projections:
            raise ValueError(f"There is no {method} of epoch {self.epoch} yet: compute it first.")
        changed = method != self.view
        self.view, self.axes = method, axes or ((0, 1) if changed else self.axes)
        self._fit_axes()
        self.views_changed.emit()

    def _fit_axes(self) -> None:
        width = self.projection.coordinates.shape[1]
        if max(self.axes) >= width:
            self.axes = (0, 1)

    def add_projection(self, projection: Projection) -> None:
        """Take a projection that was made of the latents shown, and show it."""
        snapshot = self.loaded()
        self.snapshot = replace(
            snapshot, projections=snapshot.projections | {projection.key: projection}
        )
        self.set_view(projection.key)

    def drop_projection(self, key: str) -> None:
        """Do without the projection of a selection; if it is shown, the PCA is from now on."""
        snapshot = self.loaded()
        rest = {name: made for name, made in snapshot.projections.items() if name != key}
        self.snapshot = replace(snapshot, projections=rest)
        self.set_view("pca" if self.view == key else self.view)

    def set_clustering(self, clustering: Clustering) -> None:
        """Take clusters of the latents shown, and colour by them."""
        self.snapshot = replace(self.loaded(), clustering=clustering)
        self.clustering_changed.emit()
        self.set_colouring(by_label("cluster", clustering.labels, clustering.shown))

    def set_columns(self, columns: ReadColumns) -> None:
        """Take the columns ``(n,)`` that there are, to colour by; they are read when looked at."""
        self.columns = columns
        self.columns_changed.emit()

    def set_landscape(self, depth: float | None) -> None:
        """Show the free energy of the view with minima deeper than so many kT, or do not."""
        self.landscape = depth
        self.landscape_changed.emit()

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
            there = np.arange(len(latents)) if shown.part is None else shown.part.rows
            near = [np.argmin(((latents[there] - p) ** 2).sum(1)) for p in np.atleast_2d(z)]
            table = shown.coordinates[there[np.array(near, np.int64)]]
        y = table[:, self.axes[1]] if self.axes[1] < table.shape[1] else np.zeros(len(table))
        return np.column_stack([table[:, self.axes[0]], y])

    def describe(self, row: int) -> str:
        """A particle in a few lines: its row, its place, and the value it is coloured by."""
        x, y = self.coordinates()
        lines = [f"particle {row + 1:,} (row {row:,} of the file)"]
        for name, values in zip(self.axis_labels(), (x, y), strict=False):
            if np.isfinite(values[row]):
                lines.append(f"{name} {values[row]:.3g}")
        if isinstance(colouring := self.colouring, Continuous):
            lines.append(f"{title_of(colouring)} {colouring.values[row]:.5g}")
        elif isinstance(colouring, Categorical):
            code = int(colouring.codes[row])
            lines.append(
                f"{title_of(colouring)} {colouring.names[code] if code >= 0 else colouring.rest}"
            )
        elif isinstance(colouring, Directional):
            azimuth, tilt = colouring.azimuth[row], colouring.tilt[row]
            lines.append(f"seen along azimuth {azimuth:.0f}°, tilt {tilt:.0f}°")
        return "\n".join(lines)
