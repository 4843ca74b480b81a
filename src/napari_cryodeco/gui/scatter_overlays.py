"""What lies over the points of the scatter plot: cursor, trajectory, lasso."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

from napari_cryodeco.gui.aggregate import Floats
from napari_cryodeco.gui.plot_axes import Frame
from napari_cryodeco.gui.style import Theme
from napari_cryodeco.gui.support_ribbon import EXTRAPOLATED

Contour = tuple[float, Floats]  # kT and places (m, 2) of a line of equal free energy
Mark = tuple[float, float, str]  # x, y of a minimum, and what stands beside it
MARK = 18.0  # pixels

_SHADE = QColor(0, 0, 0, 140)  # under bright lines, so that they show on any colour


def draw_cursor(
    painter: QPainter, frame: Frame, place: tuple[float, float], theme: Theme, idle: bool
) -> None:
    """A ring with four ticks, which leaves the point under it visible; faint when `idle`."""
    at = frame.to_screen(*place)
    painter.setOpacity(0.3 if idle else 1.0)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(_SHADE, 4), QPen(theme.cursor, 2)):
        painter.setPen(pen)
        painter.drawEllipse(at, 7.0, 7.0)
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            painter.drawLine(at + QPointF(dx * 7, dy * 7), at + QPointF(dx * 12, dy * 12))
    painter.setOpacity(1.0)


def draw_hovered(painter: QPainter, frame: Frame, place: tuple[float, float], theme: Theme) -> None:
    """A thin ring about the particle that the mouse is on."""
    if not np.isfinite(place).all():
        return
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(_SHADE, 3), QPen(theme.cursor, 1.4)):
        painter.setPen(pen)
        painter.drawEllipse(frame.to_screen(*place), 5.0, 5.0)


def draw_path(
    painter: QPainter,
    frame: Frame,
    path: Floats,
    supported: NDArray[np.bool_] | None,
    position: float,
    theme: Theme,
) -> None:
    """A line through places ``(t, 2)`` and a marker at frame `position`, counted from 0.

    Legs to or from a frame that is not `supported` ``(t,)`` are red and dotted.
    """
    if not len(path):
        return
    places = [frame.to_screen(float(x), float(y)) for x, y in path]
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(_SHADE, 4.5), QPen(theme.path, 2.5)):
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(places))
    if supported is not None and len(supported) == len(path):
        bare = np.flatnonzero(~(supported[1:] & supported[:-1]))
        for pen in (QPen(QColor("black"), 4.5), QPen(EXTRAPOLATED, 3.5, Qt.PenStyle.DotLine)):
            painter.setPen(pen)
            for leg in bare:
                painter.drawLine(places[leg], places[leg + 1])
    frames = np.arange(len(path))
    x, y = (float(np.interp(position, frames, column)) for column in path.T)
    painter.setPen(QPen(QColor("white"), 2))
    painter.setBrush(theme.path)
    painter.drawEllipse(frame.to_screen(x, y), 6.0, 6.0)


def draw_anchors(painter: QPainter, frame: Frame, places: Floats, theme: Theme) -> None:
    """Numbered discs at places ``(m, 2)``, from 1 in the order of the path."""
    for number, (x, y) in enumerate(places, 1):
        at = frame.to_screen(float(x), float(y))
        disc = QRectF(at.x() - 8, at.y() - 8, 16, 16)
        painter.setPen(QPen(theme.path, 2))
        painter.setBrush(QColor("white"))
        painter.drawEllipse(disc)
        painter.setPen(QPen(QColor("black")))
        painter.drawText(disc, Qt.AlignmentFlag.AlignCenter, str(number))


def draw_contours(painter: QPainter, frame: Frame, lines: Sequence[Contour], theme: Theme) -> None:
    """Lines of equal free energy, the fainter the higher."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for level, line in lines:
        ink = QColor(theme.text)
        ink.setAlpha(max(70, 230 - round(25 * level)))
        painter.setPen(QPen(ink, 1.2))
        painter.drawPolyline(QPolygonF([frame.to_screen(x, y) for x, y in line.tolist()]))


def mark_box(frame: Frame, mark: Mark) -> QRectF:
    """Where a minimum is marked, and clicked."""
    at = frame.to_screen(mark[0], mark[1])
    return QRectF(at.x() - MARK / 2, at.y() - MARK / 2, MARK, MARK)


def draw_minima(painter: QPainter, frame: Frame, marks: Sequence[Mark], theme: Theme) -> None:
    """Numbered squares at the minima, from 1, with their words beside them."""
    for number, mark in enumerate(marks, 1):
        box = mark_box(frame, mark)
        painter.setPen(QPen(QColor("white"), 1.6))
        painter.setBrush(QColor(20, 24, 30, 225))
        painter.drawRoundedRect(box, 4, 4)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(number))
        wide = painter.fontMetrics().horizontalAdvance(mark[2]) + 8
        room = box.right() + 1 + wide < frame.rect.right()
        left = box.right() + 1 if room else box.left() - 1 - wide
        words = QRectF(left, box.top(), wide, box.height())
        veil = QColor(theme.plot)
        veil.setAlpha(170)
        painter.fillRect(words, veil)
        painter.setPen(theme.text)
        painter.drawText(words, Qt.AlignmentFlag.AlignCenter, mark[2])


def draw_stroke(
    painter: QPainter, frame: Frame, places: Sequence[tuple[float, float]], theme: Theme
) -> None:
    """The curve drawn so far, in data units."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(_SHADE, 4), QPen(theme.path, 2, Qt.PenStyle.DashLine)):
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF([frame.to_screen(x, y) for x, y in places]))


def draw_outline(
    painter: QPainter, frame: Frame, corners: Sequence[tuple[float, float]], theme: Theme
) -> None:
    """The outline drawn so far, in data units, filled as the even-odd rule will select."""
    if len(corners) < 2:
        return
    outline = [frame.to_screen(x, y) for x, y in corners]
    veil = QColor(theme.selection)
    veil.setAlpha(40)
    painter.setBrush(veil)
    painter.setPen(QPen(theme.selection, 1.8, Qt.PenStyle.DashLine))
    painter.drawPolygon(QPolygonF(outline), Qt.FillRule.OddEvenFill)
