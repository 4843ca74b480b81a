"""The outline that the mouse draws round points: by hand, a box, or corner by corner."""

from __future__ import annotations

import time
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryodeco.explore import lasso
from napari_cryodeco.gui.aggregate import Floats
from napari_cryodeco.gui.scatter_picture import ScatterPicture

COUNT_EVERY_MS = 30

Place = tuple[float, float]  # in data units: it stays right when the view is moved or zoomed


class Shape(StrEnum):
    """How an outline follows the mouse."""

    LASSO = "lasso"
    BOX = "box"
    POLYGON = "polygon"


class Outline(QObject):
    """One outline at a time over the points of a picture, in data units.

    Parameters
    ----------
    picture
        The points.
    """

    finished = Signal(object, str, object)  # mask (n,) bool, operation, corners (m, 2)
    counting = Signal(object)  # how many would be selected if it ended here; None when it ends
    changed = Signal()

    def __init__(self, picture: ScatterPicture, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._picture = picture
        self._operation = "replace"
        self.shape = Shape.LASSO
        self.corners: list[Place] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(COUNT_EVERY_MS)
        self._timer.timeout.connect(self._count)

    def __bool__(self) -> bool:
        return bool(self.corners)

    def begin(self, shape: Shape, at: Place, operation: str) -> None:
        """Start an outline; the last corner of a polygon follows the mouse until it is set."""
        self.shape, self._operation = shape, operation
        self.corners = {Shape.LASSO: [at], Shape.BOX: [at] * 4, Shape.POLYGON: [at, at]}[shape]
        self.changed.emit()

    def move(self, at: Place) -> None:
        """Follow the mouse."""
        if self.shape is Shape.LASSO:
            self.corners.append(at)
        elif self.shape is Shape.BOX:
            (x, y) = self.corners[0]
            self.corners = [(x, y), (at[0], y), at, (x, at[1])]
        else:
            self.corners[-1] = at
        if not self._timer.isActive():
            self._timer.start()
        self.changed.emit()

    def set_corner(self, at: Place) -> None:
        """Set the corner of a polygon that followed the mouse, and begin the next."""
        self.corners[-1:] = [at, at]
        self.changed.emit()

    def take_corner_back(self) -> None:
        """Take the last corner of a polygon that was set back."""
        if self.shape is Shape.POLYGON and len(self.corners) > 2:
            del self.corners[-2]
            self.changed.emit()

    def close(self) -> None:
        """Finish a polygon; the other shapes end with the mouse button."""
        if self.shape is Shape.POLYGON:
            self.finish()

    def finish(self) -> None:
        """Tell what is inside, if there is an inside; then there is no outline any more."""
        if self.shape is Shape.POLYGON:
            self.corners.pop()
        if len(self.corners) > 2:
            self.finished.emit(self.inside(), self._operation, self.polygon())
        self.give_up()

    def give_up(self) -> None:
        """Forget the outline."""
        self.corners = []
        self._timer.stop()
        self.counting.emit(None)
        self.changed.emit()

    def polygon(self) -> Floats:
        """Corners ``(m, 2)`` in data units."""
        return np.array(self.corners)

    def inside(self) -> NDArray[np.bool_]:
        """Which points ``(n,)`` it holds."""
        return lasso.inside(self._picture.x, self._picture.y, self.polygon())

    def _count(self) -> None:
        """Tell how many would be selected; big sets less often, so that drawing stays smooth."""
        if len(self.corners) < 3:
            return
        begun = time.perf_counter()
        self.counting.emit(self._picture.would_select(self.inside(), self._operation))
        self._timer.setInterval(max(COUNT_EVERY_MS, int(2000 * (time.perf_counter() - begun))))
