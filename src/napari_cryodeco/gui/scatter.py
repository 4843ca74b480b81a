"""A scatter plot of millions of points that speaks in rows and knows no run."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt, QTimer, Signal
from qtpy.QtGui import (
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QWheelEvent,
)
from qtpy.QtWidgets import QToolTip, QWidget

from napari_cryodeco.explore import lasso
from napari_cryodeco.gui import plot_axes, scatter_overlays
from napari_cryodeco.gui.aggregate import Extent, Floats
from napari_cryodeco.gui.colouring import Categorical
from napari_cryodeco.gui.operations import operation_of
from napari_cryodeco.gui.scatter_canvas import ScatterCanvas
from napari_cryodeco.gui.style import Theme

CLICK_REACH = 4.0  # pixels the mouse may move in a click

Button, Key = Qt.MouseButton, Qt.Key
_ARROWS = {
    Key.Key_Left: (-1, 0),
    Key.Key_Right: (1, 0),
    Key.Key_Up: (0, 1),
    Key.Key_Down: (0, -1),
}


class Mode(StrEnum):
    """What the left mouse button does."""

    POINT = "point"
    LASSO = "lasso"
    PAN = "pan"


class ScatterWidget(ScatterCanvas):
    """Points ``(n,)`` in the plane.

    Left button: by mode a cursor (click or drag), a lasso, or panning. Middle or right button, or
    the left one with Space held: pan. Wheel: zoom about the mouse. F: fit. Escape: give up the
    lasso. Shift, Alt (or Ctrl, where the desktop keeps Alt for itself) and both together: add,
    subtract, intersect.
    """

    pointed = Signal(float, float, bool)  # data x, y; False while the button is still down
    lassoed = Signal(object, str, object)  # mask (n,) bool, operation, polygon (m, 2) in data units
    counting = Signal(object)  # how many a lasso ended here would select; None when it ends
    category_clicked = Signal(int, str)  # code in the legend, operation

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lasso: list[QPointF] = []
        self._operation = "replace"
        self._drag: tuple[str, QPointF, Extent] | None = None
        self._space = False
        self._hover: Callable[[int], str] = lambda row: f"particle {row + 1:,}"
        self.mode = Mode.POINT
        self.operation = "replace"
        self._hover_timer = self._timer(150, self._show_hover)
        self._count_timer = self._timer(30, self._count)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _timer(self, milliseconds: int, call: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(call)
        return timer

    def set_hover(self, describe: Callable[[int], str]) -> None:
        """Say what the tool tip of a point's row is."""
        self._hover = describe

    # ---- mouse and keys

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start a pan, a lasso or a cursor drag."""
        if not len(self._picture.x):
            return
        place = event.position()
        if event.button() == Button.LeftButton and self._clicked_legend(event):
            return
        if event.button() in (Button.MiddleButton, Button.RightButton) or self._space:
            kind = "pan"
        elif event.button() == Button.LeftButton:
            kind = self.mode.value
        else:
            return
        self._drag = (kind, place, self._extent)
        if kind == Mode.PAN:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif kind == Mode.LASSO:
            self._lasso = [place]
            self._operation = operation_of(event.modifiers(), self.operation)
        else:
            self._point(place, final=False)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with what the button started; without a button, wait to say what is here."""
        place = event.position()
        if self._drag is None:
            self._hover_timer.start()
            return
        kind, start, extent = self._drag
        if kind == Mode.PAN:
            frame = self.frame()
            dx = (start.x() - place.x()) / frame.rect.width() * extent.width
            dy = (place.y() - start.y()) / frame.rect.height() * extent.height
            self.set_extent(extent.moved(dx, dy))
        elif kind == Mode.LASSO:
            if self._lasso:
                self._lasso.append(place)
                if not self._count_timer.isActive():
                    self._count_timer.start()
                self.update()
        else:
            self._point(place, final=False)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End what the button started."""
        if self._drag is None:
            return
        (kind, start, _), self._drag = self._drag, None
        self.unsetCursor()
        if kind == Mode.POINT:
            self._point(event.position(), final=True)
        elif kind == Mode.LASSO and self._lasso:
            if self._reach(start) < CLICK_REACH:
                self._point(event.position(), final=True)
            elif len(self._lasso) > 2:
                self.lassoed.emit(self._inside(), self._operation, self._polygon())
            self._end_lasso()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse."""
        x, y = self.frame().to_data(event.position())
        turn = event.angleDelta().y() or event.angleDelta().x()
        self.set_extent(self._extent.zoomed(0.85 ** (turn / 120), x, y))
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """The second press of two quick clicks counts as any other press."""
        self.mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """F fit, + and − zoom, arrows scrub the cursor, Space pans, Escape gives up the lasso."""
        key = event.key()
        centre = self._extent.centre
        if key == Key.Key_Escape and self._lasso:
            self._end_lasso()
        elif key == Key.Key_Space:
            self._space = True
            self.setCursor(Qt.CursorShape.OpenHandCursor)
        elif key == Key.Key_F:
            self.fit()
        elif key in (Key.Key_Plus, Key.Key_Equal):
            self.set_extent(self._extent.zoomed(0.8, *centre))
        elif key == Key.Key_Minus:
            self.set_extent(self._extent.zoomed(1.25, *centre))
        elif key in _ARROWS and len(self._picture.x):
            (x, y), (dx, dy) = self._cursor or centre, _ARROWS[key]
            step = (dx * self._extent.width / 100, dy * self._extent.height / 100)
            self.pointed.emit(x + step[0], y + step[1], True)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Space up ends its panning."""
        if event.key() == Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self.unsetCursor()
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """A Space that is let go elsewhere is not heard here."""
        self._space = False
        super().focusOutEvent(event)

    def _point(self, place: QPointF, final: bool) -> None:
        x, y = self.frame().to_data(place)
        self.set_cursor((x, y))
        self.pointed.emit(x, y, final)

    def _clicked_legend(self, event: QMouseEvent) -> bool:
        colouring = self._picture.colouring
        if not isinstance(colouring, Categorical):
            return False
        boxes = plot_axes.legend_boxes(self.frame(), QFontMetricsF(self.font()), colouring)
        for box, _, code in boxes:
            if box.contains(event.position()):
                self.category_clicked.emit(code, operation_of(event.modifiers(), self.operation))
                return True
        return False

    # ---- lasso

    def _paint_tool(self, painter: QPainter, theme: Theme) -> None:
        scatter_overlays.draw_lasso(painter, self._lasso, theme)

    def _reach(self, start: QPointF) -> float:
        return max(abs(p.x() - start.x()) + abs(p.y() - start.y()) for p in self._lasso)

    def _polygon(self) -> Floats:
        frame = self.frame()
        return np.array([frame.to_data(place) for place in self._lasso])

    def _inside(self) -> NDArray[np.bool_]:
        return lasso.inside(self._picture.x, self._picture.y, self._polygon())

    def _count(self) -> None:
        """Tell how many would be selected; big sets less often, so that drawing stays smooth."""
        if len(self._lasso) < 3:
            return
        begun = time.perf_counter()
        self.counting.emit(self._picture.would_select(self._inside(), self._operation))
        self._count_timer.setInterval(max(30, int(2000 * (time.perf_counter() - begun))))

    def _end_lasso(self) -> None:
        self._lasso = []
        self._count_timer.stop()
        self.counting.emit(None)
        self.update()

    # ---- hover

    def _show_hover(self) -> None:
        where = self.cursor().pos()
        place = QPointF(self.mapFromGlobal(where))
        row = self.nearest(place) if self.frame().rect.contains(place) else None
        if row is not None:
            QToolTip.showText(where, self._hover(row), self)
