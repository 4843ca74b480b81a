"""The button that shows a decoded path as a 4-D layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_cryodeco.gui.background import Task
from napari_cryodeco.gui.frames_layer import FramesLayer, stacked

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.gui.clip import Clip
    from napari_cryodeco.gui.layers import MapView

MADE = (
    "The slider under the picture moves through the frames. What is asked for last is seen: the "
    "4-D layer or the map."
)


class FramesButton(QPushButton):
    """Stacks the frames in the background.

    Attributes
    ----------
    frames
        The layer, and what moves it.
    made
        A sentence: the layer is there.
    failed
        A sentence: it cannot be.
    """

    made = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: Viewer, map_view: MapView) -> None:
        super().__init__("Frames as a 4-D layer")
        self.frames = FramesLayer(viewer, map_view, self)
        self.task = Task(self)
        self._clip: Clip | None = None
        self._frame = 0
        self.setToolTip(
            "<qt>All frames in one napari layer (frame, z, y, x), in Å, at the level of the map. "
            "The slider under the picture moves it, and the marker on the path. For napari's own "
            "tools: napari-animation, saving, measuring.</qt>"
        )
        self.setEnabled(False)
        self.clicked.connect(self._stack)
        self.task.returned.connect(self._show)
        self.task.failed.connect(self.failed)

    def show_clip(self, clip: Clip | None) -> None:
        """Take a clip whose frames are all decoded, or none: an earlier layer is the user's."""
        self._clip, self._frame = clip, 0
        self.frames.forget()
        self.setEnabled(clip is not None)

    def go_to(self, frame: int) -> bool:
        """Move the layer to a frame; whether it is what the user sees."""
        self._frame = frame
        seen = self.frames.seen
        if seen:
            self.frames.go_to(frame)
        return seen

    def _stack(self) -> None:
        clip = self._clip
        if clip is None or self.task.busy:
            return
        if self.frames.layer is not None:
            self.frames.see(self._frame)
        else:
            self.task.start(lambda report: (clip, stacked(clip, report)))

    def _show(self, result: tuple[Clip, np.ndarray]) -> None:
        clip, values = result
        if clip is self._clip:
            name = f"frames: {clip.path.name}"
            self.frames.show(values, clip.decoded[0].voxel_size, name, self._frame)
            self.made.emit(MADE)
