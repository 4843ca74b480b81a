"""A signed difference of maps as one layer: where A has more, and where it has less."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Surface
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_cryodeco.gui.layers import MIRROR, corner_of, place
from napari_cryodeco.gui.surface import isosurface
from napari_cryodeco.gui.viewers import lasting

if TYPE_CHECKING:
    from napari import Viewer

NAME = "difference A − B"
# blue, white, vermillion (Okabe & Ito): less and more, told apart by colour-blind eyes
LESS, MORE = "#0072B2", "#D55E00"
_DIVERGING = Colormap([[0.0, 0.447, 0.698], [0.95, 0.95, 0.95], [0.835, 0.369, 0.0]], name="A − B")
_BEHIND = 0.35  # opacity of the maps that the difference lies in


class DifferenceLayer:
    """One lasting layer with the surfaces at +level and −level, in Å, centred on the origin."""

    def __init__(self, viewer: Viewer) -> None:
        viewer = lasting(viewer)
        self._viewer = weakref.ref(viewer)
        self._layer: Surface | None = None
        self._data: NDArray[np.float32] | None = None
        self._voxel = 1.0
        self._around: Any = None  # the map's layer, and how it was before
        self._before = (1.0, "translucent")
        self.level = 1.0
        viewer.layers.events.removed.connect(self._removed)

    @property
    def layer(self) -> Surface | None:
        """The layer, while it is in the viewer."""
        viewer = self._viewer()
        if viewer is None or self._layer not in viewer.layers:
            return None
        return self._layer

    def show(self, data: NDArray[np.float32], voxel_size: float, level: float) -> None:
        """Show a difference ``(z, y, x)`` in σ of the maps at ±`level` σ; voxel size in Å."""
        self._data, self._voxel, self.level = data, voxel_size, level
        viewer = self._viewer()
        if viewer is None:
            return
        layer = self.layer
        if layer is None:
            viewer.dims.ndisplay = 3
            self._layer = layer = Surface(
                _both(data, level),
                name=NAME,
                colormap=_DIVERGING,
                contrast_limits=(-1.0, 1.0),
                shading="smooth",
                affine=np.diag([*MIRROR, 1.0]),
                units=("angstrom",) * 3,
            )
            viewer.add_layer(layer)
        else:
            layer.data = _both(data, level)
        place(layer, voxel_size, corner_of(data, voxel_size) * MIRROR)

    def set_level(self, level: float) -> None:
        """Move both surfaces to ±`level` σ."""
        if self._data is not None and self.layer is not None:
            self.show(self._data, self._voxel, level)

    def see_through(self, layer: Any) -> None:
        """Make the map translucent that the difference lies in, until the difference is removed."""
        if self._around is layer:
            return
        self._around, self._before = layer, (layer.opacity, str(layer.blending))
        layer.opacity = _BEHIND
        if isinstance(layer, Surface):
            layer.blending = "translucent_no_depth"

    def _removed(self, event: Any) -> None:
        if event.value is self._layer and self._around is not None:
            self._around.opacity, self._around.blending = self._before
            self._around = None

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        viewer, layer = self._viewer(), self.layer
        if viewer is not None and layer is not None:
            viewer.layers.remove(layer)


def _both(
    data: NDArray[np.float32], level: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Vertices (z mirrored, as of all meshes here), faces, and +1 or −1 at each vertex."""
    more, more_faces = isosurface(data, level)
    less, less_faces = isosurface(-data, level)
    vertices = np.concatenate([more, less])
    faces = np.concatenate([more_faces, less_faces + len(more)])
    values = np.concatenate([np.ones(len(more)), -np.ones(len(less))]).astype(np.float32)
    return vertices * MIRROR, faces, values
