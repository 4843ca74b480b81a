"""A scatter plot of millions of points that speaks in rows and knows no run."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import (
    QFocusEvent,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QWheelEvent,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_cryodeco.explore import lasso
from napari_cryodeco.gui import plot_axes, scatter_overlays
from napari_cryodeco.gui.aggregate import Extent, Floats, enclosing
from napari_cryodeco.gui.colouring import Categorical, Colouring, Continuous
from napari_cryodeco.gui.plot_axes import BOTTOM, LEFT, TOP, Frame
from napari_cryodeco.gui.scatter_picture import ScatterPicture
from napari_cryodeco.gui.style import theme_of

CLICK_REACH = 4.0  # pixels the mouse may move in a click
HOVER_REACH = 7.0
FURTHEST_ZOOM = 1e4
OPERATIONS = ("replace", "add", "subtract", "intersect")

Button, Key, Modifier = Qt.MouseButton, Qt.Key, Qt.KeyboardModifier
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


class ScatterWidget(QWidget):
    """Points ``(n,)`` in the plane.

    Left button: by mode a cursor (click or drag), a lasso, or panning. Middle or right button, or
    the left one with Space held: pan. Wheel: zoom about the mouse. F: fit. Escape: give up the
    lasso. Shift, Alt (or Ctrl, where the desktop keeps Alt for itself) and both together: add,
    subtract, intersect.
    """

    pointed = Signal(float, float, bool)  # data x, y; False while the button is still down
    lassoed = Signal(object, str, object)  # mask (n,) bool, operation, polygon (m, 2) in data units
    counting = Signal(
        object
    )  # how many would be selected if the lasso ended here; None when it ends
    category_clicked = Signal(int, str)  # code in the legend, operation
    moved = Signal()  # another part of the plane is in view

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = ScatterPicture()
        self._home = self._extent = Extent(-1.0, 1.0, -1.0, 1.0)
        self._names = ("", "")
        self._image: tuple[Any, QImage, Any] | None = None
        self._cursor: tuple[float, float] | None = None
        self._idle = False
        self._path: Floats | None = None
        self._path_position = 0.0
        self._lasso: list[QPointF] = []
        self._operation = "replace"
        self._drag: tuple[str, QPointF, Extent] | None = None
        self._space = False
        self._hover: Callable[[int], str] = lambda row: f"particle {row + 1:,}"
        self.mode = Mode.POINT
        self.operation = "replace"
        self.empty_text = "Nothing to show yet."
        self._hover_timer = self._timer(150, self._show_hover)
        self._count_timer = self._timer(30, self._count)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(220, 180)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Scatter plot of the particles' latent points")

    def _timer(self, milliseconds: int, call: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(call)
        return timer

    def sizeHint(self) -> QSize:
        """About square, with room for the legend."""
        return QSize(460, 400)

    # ---- what is shown

    def set_points(self, x: Floats, y: Floats, names: tuple[str, str], fit: bool = True) -> None:
        """Show other points ``(n,)`` with the names of their axes."""
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"x {x.shape} and y {y.shape}: two equally long columns are needed.")
        self._picture.set_points(x, y)
        self._names = names
        self._home = enclosing(self._picture.x, self._picture.y)
        if fit:
            self.fit()
        self._redraw()

    def set_colouring(self, colouring: Colouring) -> None:
        """Colour the points; one value for each."""
        self._picture.set_colouring(colouring)
        self._redraw()

    def set_selected(self, mask: NDArray[np.bool_] | None) -> None:
        """Show which points ``(n,)`` bool are selected: the others fade."""
        self._picture.selected = mask
        self._redraw()

    def set_cursor(self, place: tuple[float, float] | None, idle: bool = False) -> None:
        """Show the cursor at data x, y, or none; faintly where the map is not that of its place."""
        self._cursor, self._idle = place, idle
        self.update()

    def set_path(self, places: Floats | None) -> None:
        """Draw a trajectory through places ``(t, 2)``, or none."""
        self._path, self._path_position = places, 0.0
        self.update()

    def set_path_position(self, frame: float) -> None:
        """Move the marker along the trajectory; frames count from 0."""
        self._path_position = frame
        self.update()

    def set_hover(self, describe: Callable[[int], str]) -> None:
        """Say what the tool tip of a point's row is."""
        self._hover = describe

    @property
    def extent(self) -> Extent:
        """The part of the plane in view."""
        return self._extent

    def set_extent(self, extent: Extent) -> None:
        """Show another part of the plane; too deep a zoom is not followed."""
        least = min(extent.width / self._home.width, extent.height / self._home.height)
        most = max(extent.width / self._home.width, extent.height / self._home.height)
        if least * FURTHEST_ZOOM < 1 or most > 50:
            return
        self._extent = extent
        self._redraw()
        self.moved.emit()

    def fit(self) -> None:
        """Show all points."""
        self.set_extent(self._home)

    def frame(self) -> Frame:
        """Where the data rectangle lies now."""
        metrics = QFontMetricsF(self.font())
        right = plot_axes.margin_right(self._picture.colouring, metrics)
        width = max(self.width() - LEFT - right, 20)
        height = max(self.height() - TOP - BOTTOM, 20)
        return Frame(QRectF(LEFT, TOP, round(width), round(height)), self._extent)

    def _redraw(self) -> None:
        self._image = None
        self.update()

    # ---- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint points, axes and overlays."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        theme, frame = theme_of(self), self.frame()
        painter.fillRect(frame.rect, theme.plot)
        if not len(self._picture.x):
            plot_axes.draw_message(painter, frame, theme, self.empty_text)
            return
        plot_axes.draw_grid(painter, frame, theme)
        painter.drawImage(frame.rect, self._points_image(frame, theme.dark))
        plot_axes.draw_axes(painter, frame, theme, self._names)
        if isinstance(colouring := self._picture.colouring, Continuous):
            plot_axes.draw_colour_bar(painter, frame, theme, colouring)
        elif isinstance(colouring, Categorical):
            plot_axes.draw_legend(painter, frame, theme, colouring)
        painter.setClipRect(frame.rect)
        if self._path is not None:
            scatter_overlays.draw_path(painter, frame, self._path, self._path_position, theme)
        if self._cursor is not None:
            scatter_overlays.draw_cursor(painter, frame, self._cursor, theme, self._idle)
        scatter_overlays.draw_lasso(painter, self._lasso, theme)

    def _points_image(self, frame: Frame, dark: bool) -> QImage:
        ratio = self.devicePixelRatioF()
        width, height = round(frame.rect.width() * ratio), round(frame.rect.height() * ratio)
        key = (frame.extent, width, height, dark)
        if self._image is None or self._image[0] != key:
            picture = np.ascontiguousarray(
                self._picture.draw(frame.extent, width, height, ratio, dark)
            )
            tall, wide = picture.shape[:2]
            image = QImage(picture.data, wide, tall, 4 * wide, QImage.Format.Format_RGBA8888)
            self._image = (key, image, picture)  # the image reads the array's memory: keep both
        return self._image[1]

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
            self._operation = self._operation_of(event.modifiers())
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

    def changeEvent(self, event: QEvent) -> None:
        """Draw anew when the theme or the font changes."""
        kind = QEvent.Type
        if event.type() in (kind.PaletteChange, kind.StyleChange, kind.FontChange):
            self._redraw()
        super().changeEvent(event)

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
                self.category_clicked.emit(code, self._operation_of(event.modifiers()))
                return True
        return False

    # ---- lasso

    def _operation_of(self, modifiers: Any) -> str:
        add = bool(modifiers & Modifier.ShiftModifier)
        subtract = bool(modifiers & (Modifier.AltModifier | Modifier.ControlModifier))
        if add and subtract:
            return "intersect"
        return "add" if add else "subtract" if subtract else self.operation

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

    def nearest(self, place: QPointF) -> int | None:
        """Row of the point within a few pixels of a widget position, if any."""
        frame = self.frame()
        per_x = frame.rect.width() / frame.extent.width
        per_y = frame.rect.height() / frame.extent.height
        return self._picture.nearest(*frame.to_data(place), (per_x, per_y), HOVER_REACH)

    def _show_hover(self) -> None:
        where = self.cursor().pos()
        place = QPointF(self.mapFromGlobal(where))
        row = self.nearest(place) if self.frame().rect.contains(place) else None
        if row is not None:
            QToolTip.showText(where, self._hover(row), self)
