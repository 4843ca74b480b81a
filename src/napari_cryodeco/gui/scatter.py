"""A scatter plot of millions of points that speaks in rows and knows no run."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from qtpy.QtCore import QEvent, QPointF, Qt, QTimer, Signal
from qtpy.QtGui import (
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QWheelEvent,
)
from qtpy.QtWidgets import QToolTip, QWidget

from napari_cryodeco.gui import scatter_overlays
from napari_cryodeco.gui.aggregate import Extent
from napari_cryodeco.gui.operations import operation_of
from napari_cryodeco.gui.outline import Outline, Shape
from napari_cryodeco.gui.scatter_canvas import ScatterCanvas
from napari_cryodeco.gui.stroke import Stroke
from napari_cryodeco.gui.style import Theme

CLICK_REACH = 4.0  # pixels the mouse may move in a click

Button, Key = Qt.MouseButton, Qt.Key
_OUTLINE_KEYS = {
    Key.Key_Escape: "give_up",
    Key.Key_Backspace: "take_corner_back",
    Key.Key_Return: "close",
    Key.Key_Enter: "close",
}
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
    BOX = "box"
    POLYGON = "polygon"
    PICK = "pick"
    PATH = "path"
    PAN = "pan"


_SHAPES = {Mode.LASSO: Shape.LASSO, Mode.BOX: Shape.BOX, Mode.POLYGON: Shape.POLYGON}


class ScatterWidget(ScatterCanvas):
    """Points ``(n,)`` in the plane.

    Left button: by mode a cursor (click or drag), an outline (lasso, box, corners of a polygon), a
    pick, a path (clicks are its points, a drag draws it), or panning. Middle or right button, or
    the left one with Space held: pan. Wheel: zoom about the mouse. F: fit. Escape: give the outline
    up; Enter or a double click ends a polygon, Backspace takes a corner or a point of the path
    back. Shift, Alt (or Ctrl, where the desktop keeps Alt for itself) and
    both together: add, subtract, intersect.
    """

    pointed = Signal(float, float, bool)  # data x, y; False while the button is still down
    lassoed = Signal(object, str, object)  # mask (n,) bool, operation, polygon (m, 2) in data units
    picked = Signal(int, str)  # row of the point clicked, operation
    counting = Signal(object)  # how many a lasso ended here would select; None when it ends
    category_clicked = Signal(int, str)  # code in the legend, operation
    category_menu = Signal(int, object)  # code in the legend, place on the screen
    minimum_clicked = Signal(int)  # a marked minimum of the free energy, from 0
    hovered = Signal(object)  # row of the point under the mouse, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stroke = Stroke(self)
        self.outline = Outline(self._picture, self)
        self.outline.finished.connect(self.lassoed)
        self.outline.counting.connect(self.counting)
        self.outline.changed.connect(self.update)
        self._drag: tuple[str, QPointF, Extent] | None = None
        self._reach = 0.0  # pixels that the mouse has moved from where the outline began
        self._space = False
        self._hover: Callable[[int], str] = lambda row: f"particle {row + 1:,}"
        self._mode = Mode.POINT
        self.operation = "replace"
        self._hover_timer = QTimer(self)
        self._hover_timer.setSingleShot(True)
        self._hover_timer.setInterval(150)
        self._hover_timer.timeout.connect(self._show_hover)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    @property
    def mode(self) -> Mode:
        """What the left mouse button does."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self.stroke.give_up()
        if self.outline:
            self.outline.give_up()

    def set_hover(self, describe: Callable[[int], str]) -> None:
        """Say what the tool tip of a point's row is."""
        self._hover = describe

    # ---- mouse and keys

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start a pan, a lasso or a cursor drag."""
        if not len(self._picture.x):
            return
        place = event.position()
        code = self.category_at(place) if event.button() != Button.MiddleButton else None
        if code is not None and event.button() == Button.RightButton:
            self.category_menu.emit(code, event.globalPosition().toPoint())
            return
        if code is not None:
            operation = operation_of(event.modifiers(), self.operation)
            self.category_clicked.emit(code, operation)
            return
        if event.button() in (Button.MiddleButton, Button.RightButton) or self._space:
            kind = "pan"
        elif event.button() == Button.LeftButton:
            kind = self.mode.value
        else:
            return
        if kind == Mode.PICK:
            self._pick(event)
            return
        if kind == Mode.POLYGON:
            self._click_polygon(event)
            return
        minimum = self.minimum_at(place) if kind == Mode.POINT else None
        if minimum is not None:
            self.minimum_clicked.emit(minimum)
            return
        self._drag = (kind, place, self._extent)
        if kind == Mode.PAN:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif kind in _SHAPES:
            self._begin_outline(event)
        elif kind == Mode.PATH:
            self._reach = 0.0
            self.stroke.begin(self.frame().to_data(place))
        else:
            self._point(place, final=False)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with what the button started; without a button, wait to say what is here."""
        place = event.position()
        if self._drag is None:
            if self.outline:  # a polygon's next corner
                self.outline.move(self.frame().to_data(place))
            self._hover_timer.start()
            return
        kind, start, extent = self._drag
        if kind == Mode.PAN:
            frame = self.frame()
            dx = (start.x() - place.x()) / frame.rect.width() * extent.width
            dy = (place.y() - start.y()) / frame.rect.height() * extent.height
            self.set_extent(extent.moved(dx, dy))
        elif kind in _SHAPES:
            if self.outline:
                self.outline.move(self.frame().to_data(place))
                self._reach = max(self._reach, (place - start).manhattanLength())
        elif kind == Mode.PATH:
            self.stroke.move(self.frame().to_data(place))
            self._reach = max(self._reach, (place - start).manhattanLength())
            self.update()
        else:
            self._point(place, final=False)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End what the button started."""
        if self._drag is None:
            return
        (kind, _, _), self._drag = self._drag, None
        self.unsetCursor()
        if kind == Mode.POINT:
            self._point(event.position(), final=True)
        elif kind == Mode.PATH:
            self.stroke.finish(self._reach >= CLICK_REACH)
            self.update()
        elif kind in _SHAPES and self.outline:
            if self._reach < CLICK_REACH:
                self.outline.give_up()
                self._point(event.position(), final=True)
            else:
                self.outline.finish()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse."""
        x, y = self.frame().to_data(event.position())
        turn = event.angleDelta().y() or event.angleDelta().x()
        self.set_extent(self._extent.zoomed(0.85 ** (turn / 120), x, y))
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """End a polygon; else the second press of two quick clicks counts as any other press."""
        if self.outline.shape is Shape.POLYGON and self.outline:
            self.outline.finish()
        else:
            self.mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """F fit, + and − zoom, arrows scrub the cursor, Space pans; keys of the outline."""
        key = event.key()
        centre = self._extent.centre
        if self.outline and key in _OUTLINE_KEYS:
            getattr(self.outline, _OUTLINE_KEYS[key])()
        elif self.mode is Mode.PATH and key in (Key.Key_Escape, Key.Key_Backspace):
            (self.stroke.give_up if self.stroke.places else self.stroke.undone.emit)()
            self.update()
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

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is on no particle any more."""
        self._hover_timer.stop()
        self.hovered.emit(None)
        super().leaveEvent(event)

    def _point(self, place: QPointF, final: bool) -> None:
        x, y = self.frame().to_data(place)
        self.set_cursor((x, y))
        self.pointed.emit(x, y, final)

    # ---- outlines and picks

    def _paint_tool(self, painter: QPainter, theme: Theme) -> None:
        if self.stroke.places:
            scatter_overlays.draw_stroke(painter, self.frame(), self.stroke.places, theme)
        scatter_overlays.draw_outline(painter, self.frame(), self.outline.corners, theme)

    def _begin_outline(self, event: QMouseEvent) -> None:
        self._reach = 0.0
        operation = operation_of(event.modifiers(), self.operation)
        self.outline.begin(_SHAPES[self.mode], self.frame().to_data(event.position()), operation)

    def _click_polygon(self, event: QMouseEvent) -> None:
        if not self.outline:
            self._begin_outline(event)
            return
        away = self.frame().to_screen(*self.outline.corners[0]) - event.position()
        if len(self.outline.corners) > 3 and away.manhattanLength() < 2 * CLICK_REACH:
            self.outline.finish()
        else:
            self.outline.set_corner(self.frame().to_data(event.position()))

    def _pick(self, event: QMouseEvent) -> None:
        row = self.nearest(event.position())
        if row is not None:
            self.picked.emit(row, operation_of(event.modifiers(), self.operation))

    # ---- hover

    def _show_hover(self) -> None:
        where = self.cursor().pos()
        place = QPointF(self.mapFromGlobal(where))
        row = self.nearest(place) if self.frame().rect.contains(place) else None
        self.hovered.emit(row)
        if row is not None:
            QToolTip.showText(where, self._hover(row), self)
