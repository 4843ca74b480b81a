"""The frames of a path as one 4-D layer, moved by the slider of the viewer's dimensions."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.camera import camera_of
from napari_cryodeco.gui.layers import LEVELS, MapView, corner_of
from napari_cryodeco.gui.readers import FRAME_AXES

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.gui.background import Report
    from napari_cryodeco.gui.clip import Clip

MOST_BYTES = 8 * 2**30


class FramesLayer(QObject):
    """A layer ``(t, z, y, x)`` of a path, in σ of all its frames, beside the map of a `MapView`.

    Of the two the one that was asked for last is seen. The level of one is that of the other.

    Attributes
    ----------
    frame_changed
        The user moved the slider of the viewer: the frame shown now, from 0.
    """

    frame_changed = Signal(int)

    def __init__(self, viewer: Viewer, map_view: MapView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._map = map_view
        self._layer: Image | None = None
        self._frame = 0
        bind(
            self,
            (viewer.dims.events.current_step, self._slider_moved),
            (viewer.layers.events.removed, self._removed),
            (map_view.level_changed, self._level_changed),
            (map_view.map_shown, self._map_shown),
        )

    @property
    def layer(self) -> Image | None:
        """The layer, while it is in the viewer."""
        viewer = self._viewer()
        return self._layer if viewer is not None and self._layer in viewer.layers else None

    @property
    def seen(self) -> bool:
        """Whether it is in the viewer and switched on."""
        return (layer := self.layer) is not None and layer.visible

    def show(
        self, values: NDArray[np.float32], voxel_size: float, name: str, frame: int = 0
    ) -> None:
        """Show maps ``(t, z, y, x)`` in σ units with their voxel size in Å, at one frame."""
        viewer = self._viewer()
        if viewer is None:
            return
        self.forget()
        viewer.dims.ndisplay = 3
        self._layer = layer = self._new(values, voxel_size, name)
        camera = camera_of(viewer)
        stands = camera.center, camera.zoom, camera.angles
        viewer.add_layer(layer)
        if self._map.layer is not None:  # napari fits the view anew when a dimension is added
            camera.center, camera.zoom, camera.angles = stands
        layer.events.iso_threshold.connect(self._threshold_changed)
        if viewer.dims.ndim == len(FRAME_AXES):
            viewer.dims.axis_labels = FRAME_AXES
        self.see(frame)

    def see(self, frame: int) -> None:
        """Switch the layer on in place of the map, at one frame."""
        self._see(True)
        self.go_to(frame)

    def forget(self) -> None:
        """Switch the layer off and leave it to the user: its path is no longer played."""
        self._see(False)
        self._layer = None

    def go_to(self, frame: int) -> None:
        """Move the viewer's slider to a frame."""
        viewer, self._frame = self._viewer(), frame
        if viewer is not None and self.layer is not None:
            viewer.dims.set_point(self._axis(viewer), frame)

    def _new(self, values: NDArray[np.float32], voxel_size: float, name: str) -> Image:
        layer = Image(
            values,
            name=name,
            rendering="iso",
            iso_threshold=self._map.level,
            contrast_limits=(0.0, 2 * LEVELS[1]),
            colormap=self._map.colours,
            axis_labels=FRAME_AXES,
            scale=(1.0, *(voxel_size,) * 3),
            translate=(0.0, *corner_of(values[0], voxel_size)),
            units=("pixel", *("angstrom",) * 3),
        )
        layer.contrast_limits_range = (-10.0, 60.0)
        return layer

    def _axis(self, viewer: Viewer) -> int:
        return viewer.dims.ndim - len(FRAME_AXES)

    def _slider_moved(self) -> None:
        viewer, layer = self._viewer(), self.layer
        if viewer is None or layer is None:
            return
        point = viewer.dims.point[self._axis(viewer)]
        frame = int(np.clip(round(point), 0, len(layer.data) - 1))
        if frame != self._frame:
            self._frame = frame
            self._see(True)
            self.frame_changed.emit(frame)

    def _level_changed(self, level: float) -> None:
        if (layer := self.layer) is not None and layer.iso_threshold != level:
            layer.iso_threshold = level

    def _threshold_changed(self) -> None:
        layer = self.layer
        if layer is not None and layer.iso_threshold != self._map.level:
            self._map.set_level(float(layer.iso_threshold))

    def _map_shown(self) -> None:
        if self.seen:
            self._see(False)

    def _removed(self, event: Any) -> None:
        """Without it the map is there again."""
        if event.value is self._layer:
            self._layer = None
            if (other := self._map.layer) is not None:
                other.visible = True

    def _see(self, frames: bool) -> None:
        own = self.layer
        if own is not None:
            own.visible = frames
            if (other := self._map.layer) is not None:
                other.visible = not frames


def stacked(clip: Clip, report: Report) -> NDArray[np.float32]:
    """The maps of a decoded clip ``(t, z, y, x)`` in σ of the whole clip; on a worker thread.

    Raises
    ------
    ValueError
        When they need more than 8 GiB.
    """
    volumes, sigma = clip.decoded, clip.sigma
    need = sum(volume.data.nbytes for volume in volumes)
    if need > MOST_BYTES:
        raise ValueError(
            f"{len(volumes)} maps are {need / 2**30:.0f} GiB in memory: decode fewer frames, or "
            "take a quick look."
        )
    values = np.empty((len(volumes), *volumes[0].data.shape), np.float32)
    for index, volume in enumerate(volumes):
        report(index, len(volumes))
        values[index] = volume.in_sigma(sigma)
    return values
