"""Small line drawings for tool buttons, in the colour of the text beside them."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

SIDE = 20.0
_SCALE = 3  # drawn larger, so that it is sharp on every screen


def icon(name: str, colour: QColor) -> QIcon:
    """The icon of a tool; names are the keys of `DRAWINGS`."""
    pixmap = QPixmap(int(SIDE * _SCALE), int(SIDE * _SCALE))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(_SCALE, _SCALE)
    pen = QPen(colour, 1.6)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    DRAWINGS[name](painter, colour)
    painter.end()
    return QIcon(pixmap)


def _point(painter: QPainter, colour: QColor) -> None:
    centre = QPointF(10, 10)
    painter.drawEllipse(centre, 4.5, 4.5)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        painter.drawLine(centre + QPointF(4.5 * dx, 4.5 * dy), centre + QPointF(8 * dx, 8 * dy))


def _lasso(painter: QPainter, colour: QColor) -> None:
    path = QPainterPath(QPointF(6.5, 13.5))
    path.cubicTo(QPointF(-2, 8), QPointF(5, 1.5), QPointF(11, 2.5))
    path.cubicTo(QPointF(20, 4), QPointF(19, 13), QPointF(10, 13.5))
    path.cubicTo(QPointF(6, 13.8), QPointF(4.5, 15.5), QPointF(6, 18))
    painter.drawPath(path)
    painter.setBrush(colour)
    painter.drawEllipse(QPointF(6.5, 13.8), 1.2, 1.2)


def _box(painter: QPainter, colour: QColor) -> None:
    painter.setPen(QPen(colour, 1.6, Qt.PenStyle.DashLine))
    painter.drawRect(QRectF(3, 4.5, 14, 11))


def _polygon(painter: QPainter, colour: QColor) -> None:
    corners = [QPointF(4, 6), QPointF(13, 3), QPointF(17, 11), QPointF(9, 17), QPointF(4, 6)]
    painter.drawPolyline(QPolygonF(corners))
    painter.setBrush(colour)
    for corner in corners[:-1]:
        painter.drawEllipse(corner, 1.4, 1.4)


def _pick(painter: QPainter, colour: QColor) -> None:
    for x, y in ((5, 5), (10.5, 3.8), (4.2, 10.5), (9, 9)):
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(x, y), 1.5, 1.5)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    arrow = [QPointF(9, 9), QPointF(17.5, 12.2), QPointF(13.8, 13.6), QPointF(12.2, 17.5)]
    painter.drawPolygon(QPolygonF(arrow))


def _sized(larger: bool) -> Callable[[QPainter, QColor], None]:
    """A disc in a ring, with a plus or a minus."""

    def draw(painter: QPainter, colour: QColor) -> None:
        painter.drawEllipse(QPointF(8.2, 8.2), 6, 6)
        painter.drawLine(QPointF(12, 15.5), QPointF(18, 15.5))
        if larger:
            painter.drawLine(QPointF(15, 12.5), QPointF(15, 18.5))
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(8.2, 8.2), 2.2, 2.2)

    return draw


def _path(painter: QPainter, colour: QColor) -> None:
    curve = QPainterPath(QPointF(4, 15))
    curve.cubicTo(QPointF(5, 3), QPointF(12, 18), QPointF(16, 5))
    painter.drawPath(curve)
    painter.setBrush(colour)
    for end in (QPointF(4, 15), QPointF(16, 5)):
        painter.drawEllipse(end, 2.0, 2.0)


def _pan(painter: QPainter, colour: QColor) -> None:
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        tip = QPointF(10 + 8 * dx, 10 + 8 * dy)
        painter.drawLine(QPointF(10, 10), tip)
        for side in (1, -1):
            back = QPointF(-2.5 * dx + 2.5 * side * dy, -2.5 * dy + 2.5 * side * dx)
            painter.drawLine(tip, tip + back)


def _fit(painter: QPainter, colour: QColor) -> None:
    for x, y in ((3, 3), (17, 3), (3, 17), (17, 17)):
        corner = QPointF(x, y)
        painter.drawLine(corner, corner + QPointF(4.5 if x < 10 else -4.5, 0))
        painter.drawLine(corner, corner + QPointF(0, 4.5 if y < 10 else -4.5))
    painter.setBrush(colour)
    painter.drawEllipse(QPointF(10, 10), 1.6, 1.6)


def _turn(painter: QPainter, colour: QColor) -> None:
    painter.drawArc(QRectF(4, 5.5, 12, 11), -60 * 16, 215 * 16)
    painter.drawPolyline(QPolygonF([QPointF(3.4, 3.6), QPointF(4.6, 8.6), QPointF(9.4, 7.4)]))


def _mirrored_turn(painter: QPainter, colour: QColor) -> None:
    painter.translate(SIDE, 0)
    painter.scale(-1, 1)
    _turn(painter, colour)


def _invert(painter: QPainter, colour: QColor) -> None:
    painter.drawEllipse(QPointF(10, 10), 6.5, 6.5)
    painter.setBrush(colour)
    painter.drawChord(QRectF(3.5, 3.5, 13, 13), 90 * 16, 180 * 16)


def _everything(painter: QPainter, colour: QColor) -> None:
    painter.setBrush(colour)
    painter.drawEllipse(QPointF(10, 10), 6.5, 6.5)


def _clear(painter: QPainter, colour: QColor) -> None:
    painter.drawLine(QPointF(5, 5), QPointF(15, 15))
    painter.drawLine(QPointF(15, 5), QPointF(5, 15))


def _eye(painter: QPainter, colour: QColor) -> None:
    lids = QPainterPath(QPointF(2, 10))
    lids.quadTo(QPointF(10, 2), QPointF(18, 10))
    lids.quadTo(QPointF(10, 18), QPointF(2, 10))
    painter.drawPath(lids)
    painter.setBrush(colour)
    painter.drawEllipse(QPointF(10, 10), 2.6, 2.6)


def _closed_eye(painter: QPainter, colour: QColor) -> None:
    painter.setOpacity(0.5)
    lid = QPainterPath(QPointF(2, 9))
    lid.quadTo(QPointF(10, 17), QPointF(18, 9))
    painter.drawPath(lid)


def _lock(painter: QPainter, colour: QColor) -> None:
    painter.drawArc(QRectF(6, 3, 8, 10), 0, 180 * 16)
    painter.fillRect(QRectF(4, 9, 12, 8), colour)


def _open_lock(painter: QPainter, colour: QColor) -> None:
    painter.setOpacity(0.4)
    painter.drawArc(QRectF(9, 2, 8, 10), 0, 180 * 16)
    painter.drawRect(QRectF(4, 9, 12, 8))


def _operation(parts: str) -> Callable[[QPainter, QColor], None]:
    """Two overlapping circles: the parts that stay are filled (l, m, r: left, middle, right)."""

    def draw(painter: QPainter, colour: QColor) -> None:
        left, right = QPainterPath(), QPainterPath()
        left.addEllipse(QPointF(7.3, 10), 5.6, 5.6)
        right.addEllipse(QPointF(12.7, 10), 5.6, 5.6)
        fills = {
            "l": left.subtracted(right),
            "m": left.intersected(right),
            "r": right.subtracted(left),
        }
        for part in parts:
            painter.fillPath(fills[part], colour)
        painter.drawPath(left)
        painter.drawPath(right)

    return draw


DRAWINGS: dict[str, Callable[[QPainter, QColor], None]] = {
    "point": _point,
    "lasso": _lasso,
    "box": _box,
    "polygon": _polygon,
    "pick": _pick,
    "path": _path,
    "pan": _pan,
    "fit": _fit,
    "undo": _turn,
    "redo": _mirrored_turn,
    "grow": _sized(larger=True),
    "shrink": _sized(larger=False),
    "invert": _invert,
    "all": _everything,
    "clear": _clear,
    "eye": _eye,
    "no eye": _closed_eye,
    "lock": _lock,
    "no lock": _open_lock,
    "replace": _operation("mr"),
    "add": _operation("lmr"),
    "subtract": _operation("l"),
    "intersect": _operation("m"),
}
