"""What the canvas shows in 3-D stays whole when panels are opened beside it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QWidget

from napari_cryodeco.gui.camera import camera_of

if TYPE_CHECKING:
    from napari import Viewer


class CanvasZoom(QObject):
    """Zooms with the canvas: as many Å across its shorter side as before.

    napari keeps pixels an Å, so that a map which filled the canvas is cut off once a panel is
    opened beside it.

    Parameters
    ----------
    viewer
        The viewer; it is not kept alive.
    canvas
        The widget in which it draws, and the parent of this object.
    """

    def __init__(self, viewer: Viewer, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._viewer = weakref.ref(viewer)
        canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Look at sizes only; every event goes on."""
        if isinstance(event, QResizeEvent):
            self._resized(event.oldSize(), event.size())
        return False

    def _resized(self, before: QSize, now: QSize) -> None:
        viewer = self._viewer()
        sides = [min(size.width(), size.height()) for size in (before, now)]
        if viewer is not None and viewer.dims.ndisplay == 3 and min(sides) > 0:
            camera_of(viewer).zoom *= sides[1] / sides[0]


def keep_whole(viewer: Viewer) -> None:
    """Zoom with the canvas of a viewer from now on; without a canvas there is nothing to do."""
    window = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
    canvas = getattr(getattr(window, "canvas", None), "native", None)
    if canvas is not None and canvas.findChild(CanvasZoom) is None:
        CanvasZoom(viewer, canvas)
