"""How far a molecule moves, as colours on its surface, and boxes about the parts that move."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Surface, Vectors
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray
from PIL import ImageColor
from scipy.ndimage import map_coordinates

from napari_cryodeco.explore.palette import UNCLEAR, category, far_ramp
from napari_cryodeco.gui.aside import Aside
from napari_cryodeco.gui.camera import camera_of
from napari_cryodeco.gui.layers import MIRROR, RIGHT_HANDED, corner_of, place, software_gl
from napari_cryodeco.gui.surface import COARSE_FACES, isosurface
from napari_cryodeco.gui.viewers import lasting

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.domains import Domain
    from napari_cryodeco.explore.motion import Motion

NAME, BOXES = "motion", "moving parts"
Shown = Literal["movement", "spread"]
_BELOW = 12  # colours under zero: they are those of what is unclear


class MotionLayer:
    """One lasting surface of the middle map with a value at each vertex, and one layer of boxes."""

    def __init__(self, viewer: Viewer) -> None:
        viewer = lasting(viewer)
        self._viewer = weakref.ref(viewer)
        self._layer: Surface | None = None
        self._boxes: Vectors | None = None
        self._covered = Aside(viewer)  # of one place and one shape: it would hide the colours
        viewer.layers.events.removed.connect(self._removed)

    @property
    def layer(self) -> Surface | None:
        """The surface, while it is in the viewer."""
        return self._there(self._layer)

    @property
    def boxes(self) -> Vectors | None:
        """The boxes, while they are in the viewer."""
        return self._there(self._boxes)

    def _there(self, layer: Any) -> Any:
        viewer = self._viewer()
        return layer if viewer is not None and layer in viewer.layers else None

    def show(self, motion: Motion, shown: Shown, most: float) -> None:
        """Colour the surface by movement (Å) or spread (σ), from 0 to `most`."""
        viewer = self._viewer()
        if viewer is None:
            return
        data = motion.middle.in_sigma(motion.sigma)
        vertices, faces = isosurface(data, motion.level, COARSE_FACES if software_gl() else None)
        values = vertex_values(motion, vertices, shown, most)
        mesh = (vertices * MIRROR, faces, values)
        layer = self.layer
        if layer is None:
            self._layer = layer = self._add(viewer, mesh)
        else:
            layer.data = mesh
        self._covered.put((layer, self.boxes))
        layer.visible = True
        layer.contrast_limits = (-most * _BELOW / 256, most)
        voxel = motion.middle.voxel_size
        place(layer, voxel, corner_of(data, voxel) * MIRROR)

    def _add(self, viewer: Viewer, mesh: Any) -> Surface:
        viewer.dims.ndisplay = 3
        first = not any(layer.ndim == 3 for layer in viewer.layers)
        layer = Surface(
            mesh,
            name=NAME,
            colormap=colours(),
            shading="smooth",
            affine=np.diag([*MIRROR, 1.0]),
            units=("angstrom",) * 3,
        )
        viewer.add_layer(layer)
        if first:
            camera_of(viewer).orientation = RIGHT_HANDED
            viewer.reset_view()
        return layer

    def show_boxes(self, motion: Motion, domains: Sequence[Domain]) -> None:
        """Draw a box about each moving part, in its colour; none: take the boxes out."""
        viewer, boxes = self._viewer(), self.boxes
        if viewer is None:
            return
        if not domains:
            if boxes is not None:
                viewer.layers.remove(boxes)
            return
        edges = np.concatenate([_edges(domain) for domain in domains])
        hues = [category(number) for number in range(len(domains)) for _ in range(12)]
        if boxes is not None:
            viewer.layers.remove(boxes)  # its colours go by the number of edges
        voxel = motion.middle.voxel_size
        self._boxes = Vectors(
            edges,
            name=BOXES,
            edge_color=hues,
            edge_width=voxel / 2,
            opacity=1.0,
            vector_style="line",
            translate=corner_of(motion.middle.data, voxel),
            units=("angstrom",) * 3,
        )
        viewer.add_layer(self._boxes)

    def give_way(self) -> None:
        """Hide both, and show again what they covered."""
        for layer in (self.layer, self.boxes):
            if layer is not None:
                layer.visible = False
        self._covered.back()

    def remove(self) -> None:
        """Take both layers out, and show again what they covered."""
        viewer = self._viewer()
        for layer in (self.layer, self.boxes):
            if viewer is not None and layer is not None:
                viewer.layers.remove(layer)

    def _removed(self, _: object) -> None:
        if self.layer is None:
            self._covered.back()


def colours() -> Colormap:
    """What is unclear, below zero, then still to far."""
    unclear = np.array(ImageColor.getrgb(UNCLEAR)[:3])
    table = np.concatenate([np.repeat(unclear[None], _BELOW, 0), far_ramp()])
    return Colormap(table / 255, name="movement")


def vertex_values(
    motion: Motion, vertices: NDArray[np.float32], shown: Shown, most: float
) -> NDArray[np.float32]:
    """Å or σ ``(v,)`` at vertices ``(v, 3)`` zyx in voxels; below zero where Å are unclear."""
    grid = motion.spread if shown == "spread" else motion.placed(motion.travel)
    values = map_coordinates(grid, vertices.T, order=1, mode="nearest").astype(np.float32)
    if shown == "movement":
        unclear = motion.placed(motion.unclear)
        there = map_coordinates(unclear, vertices.T, order=1, mode="nearest") > 0.5
        values[there] = -most * _BELOW / 256
    return values


def _edges(domain: Domain) -> NDArray[np.float64]:
    """The twelve edges ``(12, 2, 3)`` of a box: start and direction, zyx in Å from voxel 0."""
    low, high = np.array(domain.low[::-1]), np.array(domain.high[::-1])
    edges = []
    for axis, (one, two) in product(range(3), product((0, 1), repeat=2)):
        others = [other for other in range(3) if other != axis]
        start, way = low.copy(), np.zeros(3)
        start[others] = np.where((one, two), high[others], low[others])
        way[axis] = high[axis] - low[axis]
        edges.append((start, way))
    return np.array(edges)
